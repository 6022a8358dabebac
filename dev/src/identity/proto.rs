//! The Workload API's messages and server, generated from `proto/workload.proto`.
//! `Debug` of [`X509svid`] would show a private key: never log a message.

#![expect(
    unreachable_pub,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::as_conversions,
    clippy::too_many_lines,
    reason = "generated code"
)]

tonic::include_proto!("_");
