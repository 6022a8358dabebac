//! A request that the app could read as another one than the mapping did is not mapped at all. Frameworks replace the
//! method or the path by what a header or a parameter says, decode letters that need no encoding, and fold letter case
//! and a slash at the end. The body of a form is not looked at: an app must not take a method from there.

use http::request::Parts;

use crate::strip;
use identity::{RouteSpec, Scopes};

/// Headers by which frameworks replace the method or the path of a request.
const REPLACING: [&str; 5] =
    ["x-http-method-override", "x-http-method", "x-method-override", "x-original-url", "x-rewrite-url"];
/// The parameter by which they replace the method.
const METHOD_PARAMETER: &str = "_method";

/// Whether a header or parameter asks the app to take another method or path than the request's own.
pub(super) fn is_replaced(parts: &Parts) -> bool {
    let by_header = parts.headers.keys().any(|name| REPLACING.iter().any(|known| strip::same(name.as_str(), known)));
    let query = parts.uri.query().unwrap_or_default();
    by_header || form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name.eq_ignore_ascii_case(METHOD_PARAMETER))
}

/// Whether an app that decodes letters, folds case or drops a slash at the end would come to a route with another scope
/// than `needs`, to which the path below `base` was mapped. A route that spells the path letter by letter is meant.
pub(super) fn is_two_fold(routes: &[RouteSpec], base: &str, asked: (&str, &str), needs: &Scopes) -> bool {
    let (method, path) = asked;
    if encodes_letters(path) {
        return true;
    }
    let rest = path.strip_prefix(base).unwrap_or(path);
    let of_method = || routes.iter().filter(|route| route.methods.iter().any(|known| known == method));
    if of_method().any(|route| route.path == rest) {
        return false;
    }
    let folded = folded(rest);
    let other = of_method().find(|route| fits(&route.path, &folded));
    other.is_some_and(|route| route.scope.parse::<Scopes>().ok().as_ref() != Some(needs))
}

/// Percent-encoding of what RFC 3986 §2.3 calls unreserved: the same URL to whoever decodes, another one to a mapping.
fn encodes_letters(path: &str) -> bool {
    let mut codes =
        path.split('%').skip(1).map(|rest| rest.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok()));
    codes.any(|byte| byte.is_none_or(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)))
}

fn fits(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix("/*") {
        Some(prefix) => path.strip_prefix(&folded(prefix)).is_some_and(|rest| rest.starts_with('/')),
        None => folded(pattern) == path,
    }
}

fn folded(path: &str) -> String {
    path.trim_end_matches('/').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;
    use crate::snapshot::{Snapshot, tests as snapshots};
    use identity::Mapping;

    fn replaced(uri: &str, header: Option<&str>) -> bool {
        let builder = Request::post(uri);
        let builder = header.into_iter().fold(builder, |builder, name| builder.header(name, "DELETE"));
        is_replaced(&builder.body(()).expect("a request").into_parts().0)
    }

    #[test]
    fn a_method_or_path_that_is_replaced_is_seen() {
        for name in ["X-HTTP-Method-Override", "x_http_method_override", "X-HTTP-Method", "X-Original-URL"] {
            assert!(replaced("/tickets", Some(name)), "{name}");
        }
        for uri in ["/tickets?_method=DELETE", "/tickets?a=1&%5Fmethod=DELETE", "/tickets?_METHOD=put"] {
            assert!(replaced(uri, None), "{uri}");
        }
        assert!(!replaced("/tickets?method=x&q=_method", Some("x-requested-with")));
    }

    fn two_fold(path: &str) -> Option<bool> {
        let route = |method: &str, path: &str, scope: &str| api::Route {
            methods: vec![method.to_owned()],
            path: path.to_owned(),
            scope: scope.to_owned(),
        };
        let routes = vec![
            route("GET", "/tickets/Secret", "tickets:admin"),
            route("GET", "/tickets/audit/*", "tickets:admin"),
            route("GET", "/tickets/*", "tickets:read"),
            route("PUT", "/tickets/7", "tickets:write"),
        ];
        let resource = "https://tickets.tools.svc/api".to_owned();
        let told = snapshots::told(vec![api::Target { resource, mcp: None, routes, ..snapshots::tickets() }]);
        let snapshot = Snapshot::try_from(told).expect("a snapshot");
        let target = snapshot.serves.by_name("tickets").expect("the target");
        let needs = target.scope_of_route("GET", path)?;
        let Mapping::Routes(routes) = target.mapping() else { return None };
        Some(is_two_fold(routes, target.path(), ("GET", path), &needs))
    }

    #[test]
    fn another_spelling_of_a_stricter_route_is_seen() {
        for path in ["secret", "SECRET", "Secret/", "%53ecret", "Audit/7", "AUDIT/7/", "aud%69t/7", "%zz", "%"] {
            assert_eq!(two_fold(&format!("/api/tickets/{path}")), Some(true), "{path}");
        }
    }

    #[test]
    fn ordinary_paths_are_read_in_one_way() {
        for path in ["Secret", "audit/7", "audit", "audit/", "7", "7/", "Seven", "caf%C3%A9", "a%20b", "a%3Fb", "a/b/"]
        {
            assert_eq!(two_fold(&format!("/api/tickets/{path}")), Some(false), "{path}");
        }
    }
}
