//! The promises on a real Keycloak, a real SPIRE, and other people's programs.

mod assertion;
mod bob;
mod brief_token;
mod canary;
mod crash;
mod deleted_entry;
mod demo;
mod forged_user;
mod gone_spire;
mod gone_users;
mod issuers;
mod jwt_svid;
mod logout;
mod only_credential;
mod other_realm;
mod own_agent;
mod realm;
mod refusing;
mod rotation;
mod story;
mod times;
mod up;
mod withdrawn_role;
