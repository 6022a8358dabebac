//! Gives an order to the running broker, over the Unix socket that only its own user and root may open.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, anyhow};
use dev::apps::{Answer, Call};
use http::Method;
use runtime::clock;
use serde::Deserialize;
use tokio::net::UnixStream;

use super::{Options, table};
use crate::{look::Look, output};

const FAILED: u8 = 1;
const USAGE: u8 = 2;
/// Where the broker listens if its configuration names no other place: beside its store.
const SOCKET_NAME: &str = "keys.sock";

/// What the broker should do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    List,
    Rotate,
    Revoke(String),
}

/// The part of broker.yaml that says where the broker listens.
#[derive(Debug, Default, Deserialize)]
struct BrokerFile {
    #[serde(default)]
    store: Option<String>,
    #[serde(default)]
    keys: KeysPart,
}

#[derive(Debug, Default, Deserialize)]
struct KeysPart {
    #[serde(default)]
    socket: Option<PathBuf>,
}

/// Gives it, and prints the keys as they are then.
pub(super) fn give(options: &Options, order: &Order) -> ExitCode {
    let socket = match options.socket.clone().map_or_else(|| socket_of(&options.config), Ok) {
        Ok(socket) => socket,
        Err(fault) => return output::refuse(&format!("{fault:#}"), USAGE),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(fault) => return output::refuse(&format!("cannot start: {fault}"), FAILED),
    };
    match runtime.block_on(ask(&socket, order)) {
        Ok(answer) if answer.status.is_success() && options.json => output::say(&table::json(&answer.json())),
        Ok(answer) if answer.status.is_success() => {
            let table = table::render(&answer.json(), clock::now(), Look::of_stdout());
            output::say(&format!("{}{table}", told(order)))
        }
        Ok(answer) => {
            let message = answer.text("/message").unwrap_or_else(|| format!("the broker answered {}", answer.status));
            output::refuse(&message, FAILED)
        }
        Err(fault) => output::refuse(&format!("{fault:#}"), FAILED),
    }
}

async fn ask(socket: &Path, order: &Order) -> anyhow::Result<Answer> {
    let stream = UnixStream::connect(socket).await.map_err(|fault| {
        let hint = if fault.kind() == ErrorKind::PermissionDenied {
            "only the broker's own user and root may open it"
        } else {
            "is the broker running, and is this its socket?"
        };
        anyhow!("`{}`: {fault}; {hint}", socket.display())
    })?;
    let (method, path) = match order {
        Order::List => (Method::GET, "/keys".to_owned()),
        Order::Rotate => (Method::POST, "/keys/rotate".to_owned()),
        Order::Revoke(kid) => (Method::POST, format!("/keys/{kid}/revoke")),
    };
    let call = Call::new(method, &format!("http://broker{path}"));
    call.send_over(stream).await.with_context(|| {
        let unknown = if *order == Order::List { "" } else { ", and whether it was done is not known" };
        format!("`{}`: the broker did not answer{unknown}", socket.display())
    })
}

fn socket_of(config: &Path) -> anyhow::Result<PathBuf> {
    let shown = config.display();
    let text =
        fs::read_to_string(config).with_context(|| format!("`{shown}` cannot be read; give --config or --socket"))?;
    socket_in(&text).with_context(|| format!("`{shown}` does not tell the broker's socket; give --socket"))
}

fn socket_in(text: &str) -> anyhow::Result<PathBuf> {
    let file: BrokerFile = serde_saphyr::from_str(text).map_err(|fault| anyhow!("{}", fault.without_snippet()))?;
    let store = || file.store.as_deref().and_then(|store| store.strip_prefix("sqlite://"));
    let beside = || store().map(|store| Path::new(store).with_file_name(SOCKET_NAME));
    file.keys.socket.clone().or_else(beside).context("it has neither `keys.socket` nor `store`")
}

fn told(order: &Order) -> &'static str {
    match order {
        Order::List => "",
        Order::Rotate => "published a successor; calls go on\n",
        Order::Revoke(_) => "revoked; tokens that it signed are refused from now on\n",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_the_one_that_is_named_or_lies_beside_the_store() {
        let store = "issuer: https://b\nstore: sqlite:///var/lib/countersign/broker.db\n";
        assert_eq!(socket_in(store).expect("a path"), Path::new("/var/lib/countersign/keys.sock"));
        let named = format!("{store}keys:\n  socket: /run/keys.sock\n");
        assert_eq!(socket_in(&named).expect("a path"), Path::new("/run/keys.sock"));
        for text in ["", "issuer: https://b\n", "store: broker.db\n", "store: [\n"] {
            assert!(socket_in(text).is_err(), "{text}");
        }
    }
}
