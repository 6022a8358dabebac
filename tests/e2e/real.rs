//! The promises on a real Keycloak, a real SPIRE, and other people's programs.

mod canary;
mod crash;
mod demo;
mod jwt_svid;
mod logout;
mod loss;
mod own_agent;
mod rotation;
mod story;
mod users;
