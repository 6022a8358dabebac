//! The promises, a module each, driven through the front door over real mTLS and real HTTP.

mod architecture;
mod chain;
mod config;
mod edge;
mod form;
mod mcp_sdk;
mod mesh_door;
mod parameters;
mod perimeter;
mod record;
mod story;
mod subject;
mod workload_api;
