//! A fault with all its causes, for one log line. Never for an answer: a caller gets the refusal's sentence.

use std::error::Error;

/// The fault and what caused it, outermost first.
pub(crate) fn causes(fault: &dyn Error) -> String {
    let mut text = fault.to_string();
    let mut cause = fault.source();
    while let Some(deeper) = cause {
        text.push_str(": ");
        text.push_str(&deeper.to_string());
        cause = deeper.source();
    }
    text
}
