//! What end-to-end tests stand on: a stack of real processes, callers with real SVIDs, forged tokens, and the one place
//! that waits. It asserts the parts that every refusal shares, so that no test forgets them.

mod assertion;
mod clock;
mod crowd;
mod desk;
mod doors;
mod folder;
mod forge;
mod form;
mod frames;
mod inside;
mod instance;
mod line;
mod logout;
mod own_broker;
mod own_log;
mod own_name;
mod own_provider;
mod processes;
mod program;
mod real;
mod short_files;
mod signal;
mod sink;
mod spring;
mod stranger;

pub use ::eventually::{eventually, patiently};
pub use assertion::open_assertion_door;
pub use clock::SetClock;
pub use crowd::{Crowd, Guest};
pub use desk::{BROKER, Desk, MEMBERS};
pub use doors::{RESEARCHER, TICKETS, assert_challenged, assert_turned_away, to_researcher, to_tickets, tool};
pub use folder::Folder;
pub use forge::{Forger, claims_of, header_of, odd_forms, tells_token};
pub use form::{Form, assert_refused, begin, call, renew};
pub use frames::Frames;
pub use inside::Inside;
pub use instance::Instance;
pub use line::Line;
pub use logout::{logout, logout_claims};
pub use own_broker::OwnBroker;
pub use own_log::{LogLie, OwnLog};
pub use own_name::{INVENTORY, open_self_door, planner_uses, service};
pub use own_provider::{Lie, OwnProvider, Published};
pub use processes::{nothing_is_left, processes_below, resident, runs, work_folder};
pub use program::{Finished, Program, Running, binaries};
pub use real::shared_keycloak;
pub use short_files::{no_file_longer, short_files};
pub use signal::signal;
pub use sink::{Received, Sink};
pub use spring::{Reader, Spring};
pub use stranger::{
    alert_with_certificate, alert_without_certificate, rogue_certificate_is_refused, tls_without_certificate,
};
