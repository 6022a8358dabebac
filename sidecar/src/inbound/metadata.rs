//! Protected resource metadata (RFC 9728), given to anybody: it tells a client which authorization server to ask.
//! It holds nothing that is not already in the registry's public part.

use http::{HeaderValue, Method, Response, header, request::Parts};
use serde_json::{Value, json};

use crate::{
    body::Body,
    snapshot::{EdgeEntry, Snapshot},
};
use identity::{Scopes, Target};

/// RFC 9728 §3: inserted between host and path of the resource.
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The metadata of the target whose URL this is, if the request asks for metadata.
pub(super) fn of_target(parts: &Parts, authority: &str, snapshot: &Snapshot) -> Option<Response<Body>> {
    let path = asked(parts)?;
    let served = |target: &&std::sync::Arc<Target>| {
        target.authority().eq_ignore_ascii_case(authority) && target.path() == path.trim_end_matches('/')
    };
    let target = snapshot.serves.iter().find(served)?;
    Some(answer(target.audience().as_str(), &[&snapshot.issuer], target.scopes()))
}

/// Where [`of_target`] is found.
pub(super) fn url_of_target(target: &Target) -> Option<String> {
    let (scheme, _rest) = target.audience().as_str().split_once("://")?;
    plain(format!("{scheme}://{}{WELL_KNOWN}{}", target.authority(), target.path()))
}

/// The metadata of an edge, if the request asks for it. The resource is the URL that the client uses.
pub(super) fn of_edge(parts: &Parts, base: &str, edge: &EdgeEntry) -> Option<Response<Body>> {
    let path = asked(parts)?;
    let authorities: Vec<&String> = edge.authorities.iter().collect();
    Some(answer(&format!("{base}{path}"), &authorities, &edge.scopes))
}

/// Where [`of_edge`] is found for a request to `path`.
pub(super) fn url_of_edge(base: &str, path: &str) -> Option<String> {
    plain(format!("{base}{WELL_KNOWN}{}", if path == "/" { "" } else { path }))
}

/// Scheme and authority by which a client reached the edge.
pub(super) fn edge_base(authority: &str, tls: bool) -> String {
    format!("{}://{authority}", if tls { "https" } else { "http" })
}

/// The path of the resource whose metadata is asked for.
fn asked(parts: &Parts) -> Option<&str> {
    let path = parts.uri.path().strip_prefix(WELL_KNOWN)?;
    (parts.method == Method::GET && (path.is_empty() || path.starts_with('/'))).then_some(path)
}

/// A URL that can stand in a quoted string (RFC 9110 §5.6.4), or none at all.
fn plain(url: String) -> Option<String> {
    url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\').then_some(url)
}

fn answer(resource: &str, authorities: &[&String], scopes: &Scopes) -> Response<Body> {
    let metadata: Value = json!({
        "resource": resource,
        "authorization_servers": authorities,
        "scopes_supported": scopes.iter().collect::<Vec<_>>(),
        "bearer_methods_supported": ["header"],
    });
    let mut response = Response::new(Body::full(metadata.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use http::Request;
    use http_body_util::BodyExt as _;

    use super::*;
    use crate::snapshot::tests as snapshots;

    fn get(uri: &str) -> Parts {
        Request::get(uri).body(()).expect("a request").into_parts().0
    }

    async fn metadata(response: Option<Response<Body>>) -> Value {
        let body = response.expect("metadata").into_body().collect().await.expect("a body").to_bytes();
        serde_json::from_slice(&body).expect("JSON")
    }

    #[tokio::test]
    async fn a_target_names_its_resource_and_the_broker() {
        let snapshot = Snapshot::try_from(snapshots::told(vec![snapshots::tickets()])).expect("a snapshot");
        let target = snapshot.serves.by_name("tickets").expect("the target");
        let url = url_of_target(target).expect("a URL");
        assert_eq!(url, "https://tickets.tools.svc/.well-known/oauth-protected-resource/mcp");
        let told = metadata(of_target(&get(&url), "tickets.tools.svc", &snapshot)).await;
        assert_eq!(told["resource"], "https://tickets.tools.svc/mcp");
        assert_eq!(told["authorization_servers"], json!(["https://broker.agents.svc"]));
        assert_eq!(told["scopes_supported"], json!(["tickets:read", "tickets:write"]));
        let other = get("/.well-known/oauth-protected-resource/other");
        assert!(of_target(&other, "tickets.tools.svc", &snapshot).is_none());
        assert!(of_target(&get("/mcp"), "tickets.tools.svc", &snapshot).is_none());
    }

    #[tokio::test]
    async fn an_edge_names_the_url_that_the_client_used_and_the_authority() {
        let scopes = "tickets:read".parse().expect("scopes");
        let edge = EdgeEntry { scopes, authorities: vec!["https://keycloak.corp.example/realms/agents".into()] };
        let base = edge_base("planner.corp.example", true);
        let told = metadata(of_edge(&get("/.well-known/oauth-protected-resource/chat"), &base, &edge)).await;
        assert_eq!(told["resource"], "https://planner.corp.example/chat");
        assert_eq!(told["authorization_servers"], json!(["https://keycloak.corp.example/realms/agents"]));
        assert_eq!(url_of_edge(&base, "/a\"b"), None);
    }
}
