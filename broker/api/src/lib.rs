//! The protocol of the watch stream between broker and sidecars (`protocol.md` §1), generated from `proto/watch.proto`.
//! It carries targets, keys and generations; it must never carry a token or a private key.

tonic::include_proto!("countersign.watch.v1");
