//! Checks that every binary makes of its doors: their TLS files, and that no two want one address.
//! What a key file holds is never told.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use super::Problems;
use crate::{
    outside::Outside,
    tls::{DoorTls, DoorTlsFault},
};

impl Problems {
    /// The TLS of a door whose PEM files stand at `path.certificate` and `path.key`; both are looked at.
    pub fn door_tls(&mut self, path: &str, certificate: &Path, key: &Path) -> Option<DoorTls> {
        let chain = DoorTls::chain(certificate);
        let chain = chain.map_err(|fault| self.at(&format!("{path}.certificate"), told(&fault, "a certificate")));
        let private = DoorTls::private_key(key);
        let private = private.map_err(|fault| self.at(&format!("{path}.key"), told(&fault, "a private key")));
        DoorTls::of(chain.ok()?, private.ok()?).map_err(|fault| self.at(path, told(&fault, "a certificate"))).ok()
    }

    /// The authorities of services outside of the mesh whose PEM file stands at `path`; it is looked at.
    pub fn outside(&mut self, path: &str, ca: &Path) -> Option<Outside> {
        Outside::from_pem_file(ca).map_err(|fault| self.at(path, told(&fault, "a certificate"))).ok()
    }

    /// Tells doors that cannot listen beside each other: one port (other than 0), and one host or any. Each is its key
    /// and its address.
    pub fn distinct_doors(&mut self, doors: &[(&str, &str)]) {
        for (index, (key, address)) in doors.iter().enumerate() {
            let before = doors.iter().take(index);
            if let Some((other, _address)) = before.into_iter().find(|(_key, taken)| clash(address, taken)) {
                self.at(key, format!("`{address}` is where `{other}` listens; give one of them another port"));
            }
        }
    }

    /// Tells a path that is empty; `true` if it is not.
    pub fn names_a_path(&mut self, key: &str, path: &Path) -> bool {
        let is_given = !path.as_os_str().is_empty();
        if !is_given {
            self.at(key, "is empty: give a path");
        }
        is_given
    }
}

/// The fault with its cause.
fn told(fault: &DoorTlsFault, wanted: &str) -> String {
    match fault {
        DoorTlsFault::Unreadable { path, source } if source.kind() == io::ErrorKind::InvalidData => {
            format!("`{}` is not PEM, or holds no {}", path.display(), wanted.trim_start_matches("a "))
        }
        DoorTlsFault::Unreadable { source, .. } => format!("{fault}: {source}"),
        DoorTlsFault::Empty(path) => format!("`{}` is not PEM, or holds no certificate", path.display()),
        DoorTlsFault::NoAuthority { source, .. } => format!("{fault}: {source}"),
        DoorTlsFault::Unusable(source) => format!("{fault}: {source}"),
    }
}

fn clash(one: &str, other: &str) -> bool {
    match (one.parse::<SocketAddr>(), other.parse::<SocketAddr>()) {
        (Ok(one), Ok(other)) => {
            let (left, right) = (one.ip(), other.ip());
            one.port() == other.port()
                && one.port() != 0
                && (left == right || covers(left, right) || covers(right, left))
        }
        _named => one == other && !one.is_empty() && !one.ends_with(":0"),
    }
}

/// Whether listening on `any` takes `address` too; `[::]` takes IPv4 as well.
fn covers(any: IpAddr, address: IpAddr) -> bool {
    any.is_unspecified() && (any.is_ipv6() || address.is_ipv4())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doors_clash_on_one_port_of_one_or_any_host() {
        for (one, other, expected) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("[::]:1", "127.0.0.1:1", true),
            ("broker:1", "broker:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:1", "[::1]:1", false),
            ("10.0.0.1:1", "127.0.0.1:1", false),
            ("broker:0", "broker:0", false),
        ] {
            assert_eq!((clash(one, other), clash(other, one)), (expected, expected), "{one} {other}");
        }
    }

    #[test]
    fn both_tls_files_are_told_with_their_causes_and_no_content() {
        let folder = std::env::temp_dir().join(format!("runtime-door-files-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let key = folder.join("tls.key");
        std::fs::write(&key, "-----BEGIN hunter2\n").unwrap();
        let mut problems = Problems::new("f");
        assert!(problems.door_tls("tls", Path::new("/nowhere/a"), &key).is_none());
        let told = problems.report().to_string();
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(told.contains("tls.certificate: cannot read `/nowhere/a`: No such file"), "{told}");
        assert!(told.contains("tls.key: `") && told.contains("is not PEM"), "{told}");
        assert!(!told.contains("hunter2") && told.contains("2 problems"), "{told}");
    }
}
