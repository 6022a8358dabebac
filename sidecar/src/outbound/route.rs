//! Where a call goes: the host that the app names is looked up in the targets that this workload reaches, and nowhere
//! else. No DNS, no connection and no default for a host that is not listed.

use std::sync::Arc;

use http::{request::Parts, uri::Scheme};

use identity::{Refusal, Registry, Target};

/// The `host[:port]` of a request in absolute form (RFC 9112 §3.2.2). A `Host` header beside it says nothing.
///
/// # Errors
/// [`Refusal::CallMalformed`] for another form or a user in the URL; [`Refusal::CallUnlistedHost`] for `https://`: the
/// app calls `http://name`, and TLS begins here.
pub(super) fn host(parts: &Parts) -> Result<String, Refusal> {
    let authority = parts.uri.authority().ok_or(Refusal::CallMalformed)?;
    match parts.uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTP => {}
        Some(_https_or_other) => return Err(Refusal::CallUnlistedHost),
        None => return Err(Refusal::CallMalformed),
    }
    if authority.as_str().contains('@') {
        return Err(Refusal::CallMalformed);
    }
    Ok(authority.as_str().to_owned())
}

/// The target of a call.
///
/// # Errors
/// [`Refusal::CallUnlistedHost`], or [`Refusal::CallUnmapped`] for a path outside of the target's resource.
pub(super) fn target<'a>(reaches: &'a Registry, host: &str, path: &str) -> Result<&'a Arc<Target>, Refusal> {
    match reaches.by_host(host, path) {
        Some(target) => Ok(target),
        None if reaches.knows_host(host) => Err(Refusal::CallUnmapped),
        None => Err(Refusal::CallUnlistedHost),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::snapshot::{Snapshot, tests as snapshots};

    fn routed(uri: &str) -> Result<String, Refusal> {
        let parts = Request::post(uri).header("host", "tickets.tool").body(()).expect("a request").into_parts().0;
        let snapshot = Snapshot::try_from(snapshots::told(vec![snapshots::tickets()])).expect("a snapshot");
        target(&snapshot.reaches, &host(&parts)?, parts.uri.path()).map(|target| target.name().to_owned())
    }

    #[test]
    fn a_listed_host_is_found_in_any_case_and_with_its_port() {
        for uri in ["http://tickets.tool/mcp", "http://TICKETS.tool:80/mcp", "HTTP://tickets.tool/mcp/x"] {
            assert_eq!(routed(uri).as_deref(), Ok("tickets"), "{uri}");
        }
    }

    #[test]
    fn every_other_host_is_unlisted_however_it_is_spelled() {
        for uri in [
            "http://127.0.0.1:9/mcp",
            "http://0x7f.1/mcp",
            "http://[::ffff:169.254.169.254]/latest/meta-data",
            "http://tickets.tool./mcp",
            "http://tickets.tool:8080/mcp",
            "http://tickets.tools.svc/mcp",
            "http://localhost/mcp",
            "https://tickets.tool/mcp",
            "ftp://tickets.tool/mcp",
        ] {
            assert_eq!(routed(uri), Err(Refusal::CallUnlistedHost), "{uri}");
        }
    }

    #[test]
    fn a_path_outside_of_the_resource_is_unmapped() {
        for uri in ["http://tickets.tool/", "http://tickets.tool/mcp/../admin", "http://tickets.tool/mcp%2fx"] {
            assert_eq!(routed(uri), Err(Refusal::CallUnmapped), "{uri}");
        }
    }

    #[test]
    fn other_forms_than_the_absolute_one_are_refused() {
        for uri in ["/mcp", "tickets.tool:80", "http://user@tickets.tool/mcp", "*"] {
            assert_eq!(routed(uri), Err(Refusal::CallMalformed), "{uri}");
        }
    }
}
