//! What sidecar.yaml means. Every mistake is told, each with its key; what is weak needs a key that begins with
//! `danger_`, and what the app may reach listens on loopback only.

mod raw;

use std::net::SocketAddr;

use identity::{check_address, workload_id};
use runtime::{admin::AdminListen, config::Problems, outside::Outside, tls::DoorTls};
use url::{Host, Url};

pub use self::raw::{RawAdmin, RawAgent, RawBroker, RawConfig, RawEdge, RawMesh, RawOutside, RawOwn, RawTls};
use crate::broker::BrokerAddress;

/// The sidecar's configuration.
#[derive(Debug)]
pub struct Config {
    pub(crate) workload_api: String,
    pub(crate) broker: BrokerAddress,
    /// `host:port` of the app.
    pub(crate) app: String,
    pub(crate) mesh: String,
    pub(crate) agent: SocketAddr,
    /// The `self` door.
    pub(crate) own: Option<SocketAddr>,
    /// Who proves the names of services.
    pub(crate) outside: Option<Outside>,
    pub(crate) edge: Option<EdgeConfig>,
    pub(crate) admin: AdminListen,
}

/// The door for users.
#[derive(Debug)]
pub(crate) struct EdgeConfig {
    pub(crate) listen: String,
    /// `None`: clear text on loopback.
    pub(crate) tls: Option<DoorTls>,
}

impl Config {
    /// Reads `raw` whole and tells every problem; `None` if there was one.
    pub(crate) fn read(raw: RawConfig, problems: &mut Problems) -> Option<Self> {
        if raw.workload_api.strip_prefix("unix:///").is_none_or(str::is_empty) {
            problems.at("workload_api", format!("`{}` is no `unix:///<absolute path>`", raw.workload_api));
        }
        let broker = broker(&raw.broker, problems);
        let app = app(&raw.app, problems);
        is_address("mesh.listen", &raw.mesh.listen, problems);
        let agent = loopback("agent.listen", &raw.agent.listen, problems);
        let own = raw.own.as_ref().map(|own| loopback("self.listen", &own.listen, problems));
        let outside = raw.outside.as_ref().map(|outside| problems.outside("outside.ca", &outside.ca));
        let mut doors = vec![("mesh.listen", raw.mesh.listen.as_str()), ("agent.listen", raw.agent.listen.as_str())];
        doors.extend(raw.own.as_ref().map(|own| ("self.listen", own.listen.as_str())));
        doors.extend(raw.edge.as_ref().map(|edge| ("edge.listen", edge.listen.as_str())));
        doors.push(("admin.listen", raw.admin.listen.as_str()));
        problems.distinct_doors(&doors);
        let edge = raw.edge.map(|edge| self::edge(edge, problems));
        let admin = AdminListen::parse(&raw.admin.listen);
        let admin = admin.map_err(|fault| problems.at("admin.listen", fault.to_string())).ok();
        if !problems.is_empty() {
            return None;
        }
        Some(Self {
            workload_api: raw.workload_api,
            broker: broker?,
            app: app?,
            mesh: raw.mesh.listen,
            agent: agent?,
            own: own.map_or(Some(None), |own| own.map(Some))?,
            outside: outside.map_or(Some(None), |outside| outside.map(Some))?,
            edge: edge.map_or(Some(None), |edge| edge.map(Some))?,
            admin: admin?,
        })
    }
}

fn broker(raw: &RawBroker, problems: &mut Problems) -> Option<BrokerAddress> {
    let id = workload_id(&raw.id).map_err(|fault| problems.at("broker.id", format!("`{}` is {fault}", raw.id))).ok();
    let connect = bare_url(&raw.url, "https").or_else(|| {
        problems.at("broker.url", format!("`{}` is no `https://<host>[:<port>]`", raw.url));
        None
    });
    Some(BrokerAddress { connect: connect?, id: id? })
}

/// Clear text never leaves the host, so the app is on loopback.
fn app(url: &str, problems: &mut Problems) -> Option<String> {
    let parsed = Url::parse(url).ok();
    let loopback = match parsed.as_ref().and_then(Url::host) {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    match bare_url(url, "http") {
        Some(address) if loopback => Some(address),
        Some(_) => {
            problems.at("app", format!("`{url}` is not on loopback; the sidecar stands beside its app"));
            None
        }
        None => {
            problems.at("app", format!("`{url}` is no `http://127.0.0.1:<port>`"));
            None
        }
    }
}

/// `host:port` of a URL that has nothing else.
fn bare_url(text: &str, scheme: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let bare = url.scheme() == scheme
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    let (host, port) = (url.host_str()?, url.port_or_known_default()?);
    bare.then(|| format!("{host}:{port}"))
}

/// The address of a door that adds credentials to whatever comes.
fn loopback(key: &str, listen: &str, problems: &mut Problems) -> Option<SocketAddr> {
    match listen.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Some(address),
        Ok(_) => {
            problems.at(key, format!("`{listen}` is not loopback; this door adds credentials for its app"));
            None
        }
        Err(_not_an_address) => {
            problems.at(key, format!("`{listen}` is no `127.0.0.1:<port>`; names are not resolved here"));
            None
        }
    }
}

fn edge(raw: RawEdge, problems: &mut Problems) -> Option<EdgeConfig> {
    is_address("edge.listen", &raw.listen, problems);
    let tls = match (raw.tls, raw.danger_plain) {
        (Some(_), true) => {
            problems.at("edge.danger_plain", "stands beside `edge.tls`; take one of them away");
            return None;
        }
        (None, false) => {
            problems.at(
                "edge.tls",
                "is missing: give `tls: {certificate, key}`, or `danger_plain: true` on a loopback address",
            );
            return None;
        }
        (None, true) => {
            check_loopback(&raw.listen, problems);
            None
        }
        (Some(files), false) => Some(problems.door_tls("edge.tls", &files.certificate, &files.key)?),
    };
    Some(EdgeConfig { listen: raw.listen, tls })
}

fn check_loopback(listen: &str, problems: &mut Problems) {
    match listen.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => {}
        Ok(_) => problems.at("edge.danger_plain", format!("`{listen}` is not loopback, so it needs `edge.tls`")),
        Err(_name) if check_address(listen).is_ok() => {
            let message = "without `edge.tls` write 127.0.0.1 or [::1]: names are not resolved here";
            problems.at("edge.listen", format!("`{listen}`: {message}"));
        }
        // Told already.
        Err(_malformed) => {}
    }
}

fn is_address(key: &str, address: &str, problems: &mut Problems) {
    if let Err(fault) = check_address(address) {
        problems.at(key, fault.to_string());
    }
}

#[cfg(test)]
mod tests;
