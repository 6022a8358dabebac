//! What end-to-end tests stand on: a stack of real processes, callers with real SVIDs, forged tokens, and the one place
//! that waits. It asserts the parts that every refusal shares, so that no test forgets them.

mod desk;
mod doors;
mod folder;
mod forge;
mod form;
mod inside;
mod line;
mod own_broker;
mod own_provider;
mod program;
mod short_files;
mod signal;
mod sink;
mod stranger;

pub use ::eventually::eventually;
pub use desk::{BROKER, Desk, MEMBERS};
pub use doors::{RESEARCHER, TICKETS, assert_challenged, assert_turned_away, to_researcher, to_tickets, tool};
pub use folder::Folder;
pub use forge::{Forger, claims_of, odd_forms, tells_token};
pub use form::{Form, assert_refused, begin, call, renew};
pub use inside::Inside;
pub use line::Line;
pub use own_broker::OwnBroker;
pub use own_provider::{Lie, OwnProvider};
pub use program::{Finished, Program, Running, binaries};
pub use short_files::short_files;
pub use signal::signal;
pub use sink::{Received, Sink};
pub use stranger::{alert_without_certificate, rogue_certificate_is_refused};
