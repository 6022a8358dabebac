//! Where a call goes: the host that the app names is looked up in the targets that this workload reaches, and nowhere
//! else. No DNS, no connection and no default for a host that is not listed.

use std::sync::Arc;

use http::{request::Parts, uri::Scheme};

use identity::{AnyTarget, Refusal, Registry, Shelf, Target, WorkloadTarget};

/// The `host[:port]` of a request in absolute form (RFC 9112 §3.2.2). A `Host` header beside it says nothing.
///
/// # Errors
/// [`Refusal::CallMalformed`] for another form or a user in the URL; [`Refusal::CallUnlistedHost`] for `https://`: the
/// app calls `http://name`, and TLS begins here.
pub(crate) fn host(parts: &Parts) -> Result<String, Refusal> {
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

/// The target of a call within a transaction.
///
/// # Errors
/// [`Refusal::CallUnlistedHost`], [`Refusal::CallUnmapped`] for a path outside of the target's resource, or
/// [`Refusal::CallWrongDoor`] for one that is called in the own name: there is no way from here to there (N110).
pub(super) fn target<'a>(reaches: &'a Registry, host: &str, path: &str) -> Result<&'a Arc<Target>, Refusal> {
    on(reaches.mesh(), reaches.workload(), host, path)
}

/// The target of a call in the own name.
///
/// # Errors
/// As [`target`], the other way round.
pub(crate) fn workload_target<'a>(
    reaches: &'a Registry,
    host: &str,
    path: &str,
) -> Result<&'a Arc<WorkloadTarget>, Refusal> {
    on(reaches.workload(), reaches.mesh(), host, path)
}

fn on<'a, T: AnyTarget, O: AnyTarget>(
    own: Shelf<'a, T>,
    others: Shelf<'_, O>,
    host: &str,
    path: &str,
) -> Result<&'a Arc<T>, Refusal> {
    match own.by_host(host, path) {
        Some(target) => Ok(target),
        None if own.knows_host(host) => Err(Refusal::CallUnmapped),
        None if others.knows_host(host) => Err(Refusal::CallWrongDoor),
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
    fn each_door_has_its_own_kind_of_targets() {
        let told = snapshots::told(vec![snapshots::tickets()]);
        let told = api::Snapshot { uses: vec![snapshots::inventory()], ..told };
        let reaches = Snapshot::try_from(told).expect("a snapshot").reaches;
        let agent = |host, path| target(&reaches, host, path).map(|target| target.name().to_owned());
        let own = |host, path| workload_target(&reaches, host, path).map(|target| target.name().to_owned());
        assert_eq!(agent("tickets.tool", "/mcp").as_deref(), Ok("tickets"));
        assert_eq!(own("INVENTORY.tool:80", "/v1/items").as_deref(), Ok("inventory"));
        assert_eq!(agent("inventory.tool", "/v1/items"), Err(Refusal::CallWrongDoor));
        assert_eq!(own("tickets.tool", "/mcp"), Err(Refusal::CallWrongDoor));
        assert_eq!(own("inventory.tool", "/v1/../admin"), Err(Refusal::CallUnmapped));
        assert_eq!(own("inventory.tools.svc", "/v1"), Err(Refusal::CallUnlistedHost));
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
