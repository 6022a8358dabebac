//! The supervisor's end of the control channel: registers the processes that it starts.
//! Dropping it ends the server.

use std::{io, os::fd::OwnedFd, os::unix::net::UnixStream as StdUnixStream, time::Duration};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use identity::{SpiffeId, TrustDomain};
use serde_json::{Map, Value};
use tokio::{io::BufReader, net::UnixStream, sync::Mutex, time};

use super::{
    Lives, OddX509, Old,
    wire::{self, Answer, Command, Identity, Request},
};

/// Longest wait for an answer: the server answers from memory.
const ANSWER_WAIT: Duration = Duration::from_secs(5);

/// Gives identities to processes. The server ends when this is dropped.
#[derive(Debug)]
pub struct Registrar(Mutex<Channel>);

#[derive(Debug)]
struct Channel {
    stream: BufReader<UnixStream>,
    number: u64,
}

/// Why a command was not done.
#[derive(Debug, thiserror::Error)]
pub enum RegistrarFault {
    /// The server refused it.
    #[error("the development Workload API server refused: {0}")]
    Refused(String),
    /// The server is gone.
    #[error("the development Workload API server closed the control channel")]
    Closed,
    /// The server did not answer within 5 s.
    #[error("the development Workload API server did not answer")]
    Late,
    /// The channel broke.
    #[error("the control channel is broken")]
    Channel(#[from] io::Error),
}

impl Registrar {
    /// A registrar and the end that the server's process must inherit as stdin: `Stdio::from(end)`, or what an
    /// in-process [`Server::serve`](super::Server::serve) takes. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the socketpair cannot be made.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        // Both ends are close-on-exec: only the one that is made stdin reaches a child.
        let (own, servers) = StdUnixStream::pair()?;
        own.set_nonblocking(true)?;
        let stream = BufReader::new(UnixStream::from_std(own)?);
        Ok((Self(Mutex::new(Channel { stream, number: 0 })), servers.into()))
    }

    /// Gives `identities`, in this order and each with an optional hint, to the process that has `pid` now.
    /// Identities that it holds already stay where they are. They end with the process.
    ///
    /// # Errors
    /// The [`RegistrarFault`]: no such process, an id of another trust domain, none or too many identities.
    pub async fn register(&self, pid: u32, identities: &[(SpiffeId, Option<&str>)]) -> Result<(), RegistrarFault> {
        let identity = |(id, hint): &(SpiffeId, Option<&str>)| Identity {
            spiffe_id: id.clone(),
            hint: hint.unwrap_or_default().to_owned(),
        };
        self.send(Command::Register { pid, identities: identities.iter().map(identity).collect() }).await
    }

    /// Takes all identities from `pid`: its open X.509 streams end with `PermissionDenied`.
    ///
    /// # Errors
    /// The [`RegistrarFault`]; refused when `pid` is not registered.
    pub async fn remove(&self, pid: u32) -> Result<(), RegistrarFault> {
        self.send(Command::Remove { pid }).await
    }

    /// Makes a new X.509 authority and issues every X509-SVID anew.
    ///
    /// # Errors
    /// The [`RegistrarFault`].
    pub async fn rotate_ca(&self, old: Old) -> Result<(), RegistrarFault> {
        self.send(Command::RotateCa { old }).await
    }

    /// Makes a new JWT key.
    ///
    /// # Errors
    /// The [`RegistrarFault`].
    pub async fn rotate_jwt_key(&self, old: Old) -> Result<(), RegistrarFault> {
        self.send(Command::RotateJwtKey { old }).await
    }

    /// Sets the lives from now on (whole seconds) and issues every X509-SVID anew.
    ///
    /// # Errors
    /// The [`RegistrarFault`].
    pub async fn set_lives(&self, lives: Lives) -> Result<(), RegistrarFault> {
        self.send(Command::SetLives(lives)).await
    }

    /// Publishes the keys of another trust domain, too.
    ///
    /// # Errors
    /// The [`RegistrarFault`]; refused for the own one.
    pub async fn federate(&self, domain: &TrustDomain) -> Result<(), RegistrarFault> {
        self.send(Command::Federate { trust_domain: domain.to_string() }).await
    }

    /// A JWS of a JWT-SVID's header, changed by `header` (`null` removes), over any claims; by the key of the other trust
    /// domain where `federated` says so.
    ///
    /// # Errors
    /// The [`RegistrarFault`]; refused without another trust domain.
    pub async fn forge_jwt(
        &self,
        federated: bool,
        header: Map<String, Value>,
        claims: Value,
    ) -> Result<String, RegistrarFault> {
        let given = self.ask(Command::ForgeJwt { federated, header, claims }).await?;
        given.into_iter().next().ok_or(RegistrarFault::Closed)
    }

    /// A certificate of `id` that is wrong as `odd` says, and its key (PKCS#8), both DER.
    ///
    /// # Errors
    /// The [`RegistrarFault`].
    pub async fn forge_x509(&self, id: &SpiffeId, odd: OddX509) -> Result<(Vec<u8>, Vec<u8>), RegistrarFault> {
        let of = Identity { spiffe_id: id.clone(), hint: String::new() };
        let given = self.ask(Command::ForgeX509 { of, odd }).await?;
        let mut decoded = given.iter().map(|text| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap_or_default());
        decoded.next().zip(decoded.next()).ok_or(RegistrarFault::Closed)
    }

    async fn send(&self, command: Command) -> Result<(), RegistrarFault> {
        self.ask(command).await.map(drop)
    }

    /// Dropped half-way, the command may have been done; its answer is skipped by the next call.
    async fn ask(&self, command: Command) -> Result<Vec<String>, RegistrarFault> {
        let mut channel = self.0.lock().await;
        time::timeout(ANSWER_WAIT, channel.ask(command)).await.map_err(|_elapsed| RegistrarFault::Late)?
    }
}

impl Channel {
    async fn ask(&mut self, command: Command) -> Result<Vec<String>, RegistrarFault> {
        self.number = self.number.wrapping_add(1);
        wire::write(&mut self.stream, &Request { number: self.number, command }).await?;
        loop {
            let answer: Answer = wire::read(&mut self.stream).await?.ok_or(RegistrarFault::Closed)?;
            if answer.number == self.number {
                return answer.refused.map_or(Ok(answer.given), |reason| Err(RegistrarFault::Refused(reason)));
            }
        }
    }
}
