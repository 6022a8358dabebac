//! The server's end of the control channel. Whoever holds the other end may give identities to processes, so it is
//! inherited by one child only and never has a name in the file system.

use std::{
    fs::File,
    io,
    os::{
        fd::OwnedFd,
        unix::{fs::FileTypeExt as _, net::UnixStream as StdUnixStream},
    },
    sync::Arc,
};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use runtime::{clock, shutdown::Shutdown};
use tokio::{io::BufReader, net::UnixStream};

use super::{
    book::{self, Book, BookFault},
    wire::{self, Answer, Command, Request},
};

/// Makes the channel of an inherited descriptor, or says that it is no socket.
pub(super) fn channel(descriptor: OwnedFd) -> io::Result<UnixStream> {
    let file = File::from(descriptor);
    if !file.metadata()?.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a socket"));
    }
    let stream = StdUnixStream::from(OwnedFd::from(file));
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

/// Obeys commands until the other end closes, then triggers `shutdown`: a server without supervisor is an orphan.
pub(super) async fn serve(channel: UnixStream, book: Arc<Book>, shutdown: Shutdown) {
    let mut channel = BufReader::new(channel);
    loop {
        let request = tokio::select! {
            request = wire::read::<Request>(&mut channel) => request,
            () = shutdown.cancelled() => return,
        };
        let answered = match request {
            Ok(Some(Request { number, command })) => {
                let (refused, given) = match obey(command, &book, &shutdown) {
                    Ok(given) => (None, given),
                    Err(fault) => (Some(fault.to_string()), Vec::new()),
                };
                wire::write(&mut channel, &Answer { number, refused, given }).await
            }
            Ok(None) => {
                tracing::info!("the supervisor closed the control channel");
                break;
            }
            Err(error) => Err(error),
        };
        if let Err(error) = answered {
            tracing::error!(%error, "the control channel is broken");
            break;
        }
    }
    shutdown.trigger();
}

fn obey(command: Command, book: &Arc<Book>, shutdown: &Shutdown) -> Result<Vec<String>, BookFault> {
    match command {
        Command::Register { pid, identities } => {
            let process = book.register(pid, identities)?;
            shutdown.spawn("identity-process", book::outlive(Arc::clone(book), process, shutdown.clone()));
        }
        Command::Remove { pid } => book.remove(pid)?,
        Command::RotateCa { old } => book.rotate_ca(old, clock::now())?,
        Command::RotateJwtKey { old } => book.rotate_jwt_key(old)?,
        Command::SetLives(lives) => book.set_lives(lives),
        Command::Federate { trust_domain } => book.federate(&trust_domain)?,
        Command::ForgeJwt { federated, header, claims } => {
            return Ok(vec![book.forge_jwt(federated, header, &claims)?]);
        }
        Command::ForgeX509 { of, odd } => {
            let forged = book.forge_x509(&of.spiffe_id, odd, clock::now())?;
            return Ok(vec![
                BASE64_URL_SAFE_NO_PAD.encode(&forged.certificate),
                BASE64_URL_SAFE_NO_PAD.encode(&forged.private_key),
            ]);
        }
    }
    Ok(Vec::new())
}
