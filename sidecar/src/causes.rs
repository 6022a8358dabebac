//! A fault with all its causes, for one log line. Never for an answer: a caller gets the refusal's sentence.

use std::error::Error;

/// The fault and what caused it, outermost first. A layer that only repeats the one above it is left out.
pub(crate) fn causes(fault: &dyn Error) -> String {
    let mut layers = vec![fault.to_string()];
    let mut cause = fault.source();
    while let Some(deeper) = cause {
        let layer = deeper.to_string();
        if layers.last() != Some(&layer) {
            layers.push(layer);
        }
        cause = deeper.source();
    }
    layers.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no identity")]
    struct Wrapped(#[source] std::io::Error);

    #[test]
    fn a_repeated_layer_is_told_once() {
        let cause = std::io::Error::other("no identity");
        assert_eq!(causes(&Wrapped(cause)), "no identity");
        assert_eq!(causes(&Wrapped(std::io::Error::other("no socket"))), "no identity: no socket");
    }
}
