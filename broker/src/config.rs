//! What broker.yaml means. Every mistake is told, each with its key; a value here is right by its type.
//! The only place of the broker that reads configuration, policy and key files.

mod authorities;
mod dead;
mod doors;
mod edges;
mod keys;
mod life;
mod limits;
mod raw;
mod wrapping_key;

use std::path::PathBuf;

use identity::{Registry, Reserved, TrustDomain, workload_id};
use policies::Policies;
use runtime::{admin::AdminListen, clock, config::Problems};
use url::Url;

pub use self::raw::RawConfig;
pub(crate) use self::{
    authorities::{AuthorityConfig, AuthorityKind},
    doors::{Assertions, Doors, Public, PublicTls},
    edges::{Edge, Edges},
    life::Life,
    wrapping_key::open as open_wrapping_key,
};
use self::{edges::LoginClients, keys::KeysConfig};
use crate::{keys::Terms, names::TOKEN_PATH, seal::Wrapping};

/// The broker's configuration.
#[derive(Debug)]
pub struct Config {
    pub(crate) issuer: String,
    pub(crate) trust_domain: TrustDomain,
    pub(crate) workload_api: String,
    pub(crate) doors: Doors,
    pub(crate) authorities: Vec<AuthorityConfig>,
    pub(crate) store: PathBuf,
    pub(crate) keys: Terms,
    pub(crate) wrapping: Wrapping,
    pub(crate) ledger: PathBuf,
    pub(crate) policies: Policies,
    pub(crate) edges: Edges,
    pub(crate) registry: Registry,
    pub(crate) reserved: Reserved,
    pub(crate) life: Life,
}

impl Config {
    /// Reads `raw` whole and tells every problem; `None` if there was one.
    pub(crate) fn read(raw: RawConfig, problems: &mut Problems) -> Option<Self> {
        check_issuer(&raw.issuer, problems);
        let trust_domain = trust_domain(&raw.trust_domain, problems);
        if raw.workload_api.strip_prefix("unix:///").is_none_or(str::is_empty) {
            problems.at("workload_api", format!("`{}` is no `unix:///<absolute path>`", raw.workload_api));
        }
        doors::is_address("listen", &raw.listen, problems);
        let public = Public::read("public", &raw.public.listen, raw.public.tls.as_ref(), problems);
        let assertions = raw.assertions.as_ref().map(|door| Assertions::read(door, &raw.issuer, problems));
        let admin = AdminListen::parse(&raw.admin.listen);
        let admin = admin.map_err(|fault| problems.at("admin.listen", fault.to_string())).ok();
        distinct_doors(&raw, problems);
        let authorities = authorities::read(&raw.authorities, problems);
        let store = store(&raw.store, problems);
        let keys = KeysConfig::read(&raw.keys, store.as_deref(), problems);
        let wrapping = wrapping_key::read(&raw.wrapping_key, problems);
        problems.names_a_path("ledger", &raw.ledger);
        let policies = policies(&raw, problems);
        let clients = LoginClients::new(&raw.authorities);
        let edges = Edges::read(&raw.edges, &clients, trust_domain.as_ref(), problems);
        edges::check_audiences(&edges, &authorities, problems);
        authorities::check_targets(&authorities, &raw.targets, problems);
        let reserved = reserved(&raw, &authorities);
        check_target_domains(&raw, trust_domain.as_ref(), problems);
        dead::warn(&raw, policies.as_ref(), problems);
        let specs = raw.targets.into_iter().map(raw::RawTarget::into_spec).collect();
        let registry = Registry::new(specs, &reserved).map_err(|found| {
            for problem in found {
                problems.at(&format!("targets[{}].{}", problem.index, problem.key), problem.message);
            }
        });
        let life = Life::read(&raw.life, problems);
        let rate = limits::read(&raw.limits, problems);
        let keys = keys?;
        Some(Self {
            issuer: raw.issuer,
            trust_domain: trust_domain?,
            workload_api: raw.workload_api,
            doors: Doors {
                listen: raw.listen,
                public: public?,
                assertions: assertions.map_or(Some(None), |door| door.map(Some))?,
                admin: admin?,
                orders: keys.socket,
                rate: rate?,
            },
            authorities,
            store: store?,
            keys: keys.terms,
            wrapping: wrapping?,
            ledger: raw.ledger,
            policies: policies?,
            edges,
            registry: registry.ok()?,
            reserved,
            life: life?,
        })
    }
}

fn distinct_doors(raw: &RawConfig, problems: &mut Problems) {
    let mut doors =
        vec![("listen", &raw.listen), ("public.listen", &raw.public.listen), ("admin.listen", &raw.admin.listen)];
    doors.extend(raw.assertions.iter().map(|door| ("assertions.listen", &door.listen)));
    let doors: Vec<_> = doors.into_iter().map(|(key, address)| (key, address.as_str())).collect();
    problems.distinct_doors(&doors);
}

/// Whether it is `https://host[:port]` and nothing else.
fn is_origin(text: &str) -> bool {
    let fits = Url::parse(text).is_ok_and(|url| {
        url.scheme() == "https"
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    });
    fits && !text.ends_with('/')
}

/// RFC 8414 §2: https, no query, no fragment. Ours besides: no path, so that every endpoint has one place.
fn check_issuer(issuer: &str, problems: &mut Problems) {
    if !is_origin(issuer) {
        problems.at("issuer", format!("`{issuer}` must be an https URL without path, query, fragment and final slash"));
    }
}

fn trust_domain(text: &str, problems: &mut Problems) -> Option<TrustDomain> {
    match TrustDomain::new(text) {
        Ok(domain) if domain.as_str() == text => Some(domain),
        Ok(_) | Err(_) => {
            problems.at("trust_domain", format!("`{text}` is no trust domain in lower case, as in `corp.example`"));
            None
        }
    }
}

fn store(text: &str, problems: &mut Problems) -> Option<PathBuf> {
    let path = text.strip_prefix("sqlite://").map(PathBuf::from);
    let path = path.filter(|path| path.is_absolute() && path.file_name().is_some());
    if path.is_none() {
        problems.at("store", format!("`{text}` must be `sqlite:///<absolute path>`; no other store exists yet"));
    }
    path
}

fn policies(raw: &RawConfig, problems: &mut Problems) -> Option<Policies> {
    if !problems.names_a_path("policies", &raw.policies) {
        return None;
    }
    Policies::load(&raw.policies, clock::now())
        .map_err(|found| {
            for problem in found {
                problems.at("policies", problem.to_string());
            }
        })
        .ok()
}

/// Issuers, realms and token endpoints: a token for one of them would be a client assertion (`protocol.md` §6).
fn reserved(raw: &RawConfig, authorities: &[AuthorityConfig]) -> Reserved {
    let bases = [Some(&raw.issuer), raw.assertions.as_ref().and_then(|door| door.url.as_ref())];
    let own = bases.into_iter().flatten().flat_map(|base| [base.clone(), format!("{base}{TOKEN_PATH}")]);
    let theirs = authorities.iter().flat_map(AuthorityConfig::reserved);
    let urls: Vec<String> = own.into_iter().chain(theirs).collect();
    Reserved::new(urls.iter().map(String::as_str))
}

fn check_target_domains(raw: &RawConfig, trust_domain: Option<&TrustDomain>, problems: &mut Problems) {
    for (index, target) in raw.targets.iter().enumerate() {
        // A malformed ID is the registry's to tell.
        if let (Ok(id), Some(domain)) = (workload_id(target.workload.as_deref().unwrap_or_default()), trust_domain)
            && id.trust_domain() != domain
        {
            let message = format!("`{id}` is outside of the trust domain `{domain}`");
            problems.at(&format!("targets[{index}].workload"), message);
        }
    }
}

#[cfg(test)]
mod tests;
