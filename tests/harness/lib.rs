//! What end-to-end tests stand on: a stack of real processes, callers with real SVIDs, forged tokens, and the one place
//! that waits. It asserts the parts that every refusal shares, so that no test forgets them.

mod crowd;
mod desk;
mod doors;
mod folder;
mod forge;
mod form;
mod inside;
mod instance;
mod line;
mod logout;
mod own_broker;
mod own_name;
mod own_provider;
mod processes;
mod program;
mod real;
mod short_files;
mod signal;
mod sink;
mod stranger;

pub use ::eventually::{eventually, patiently};
pub use crowd::{Crowd, Guest};
pub use desk::{BROKER, Desk, MEMBERS};
pub use doors::{RESEARCHER, TICKETS, assert_challenged, assert_turned_away, to_researcher, to_tickets, tool};
pub use folder::Folder;
pub use forge::{Forger, claims_of, odd_forms, tells_token};
pub use form::{Form, assert_refused, begin, call, renew};
pub use inside::Inside;
pub use instance::Instance;
pub use line::Line;
pub use logout::{logout, logout_claims};
pub use own_broker::OwnBroker;
pub use own_name::{INVENTORY, open_self_door, planner_uses, service};
pub use own_provider::{Lie, OwnProvider};
pub use processes::{nothing_is_left, processes_below, runs, work_folder};
pub use program::{Finished, Program, Running, binaries};
pub use real::shared_keycloak;
pub use short_files::short_files;
pub use signal::signal;
pub use sink::{Received, Sink};
pub use stranger::{alert_without_certificate, rogue_certificate_is_refused};
