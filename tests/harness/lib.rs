//! What end-to-end tests stand on: a stack of real processes, callers with real SVIDs, forged tokens, and the one place
//! that waits. It asserts the parts that every refusal shares, so that no test forgets them.

mod desk;
mod eventually;
mod folder;
mod forge;
mod form;
mod inside;
mod program;
mod sink;
mod stranger;

pub use desk::{Desk, MEMBERS};
pub use eventually::eventually;
pub use folder::Folder;
pub use forge::{Forger, claims_of};
pub use form::{Form, assert_refused, begin, call, renew};
pub use inside::Inside;
pub use program::{Finished, Program, Running};
pub use sink::{Received, Sink};
pub use stranger::{alert_without_certificate, rogue_certificate_is_refused};
