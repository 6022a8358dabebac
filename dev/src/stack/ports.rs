//! Ports that others must know before their owner listens. A port is bound here with `SO_REUSEADDR` and never listened
//! on, so that nobody else is given it, while the process that it is meant for can bind it too and listen.

use std::{io, net::SocketAddr};

use tokio::net::TcpSocket;

/// A reserved port on loopback, held until dropped.
#[derive(Debug)]
pub struct Port {
    socket: TcpSocket,
    address: SocketAddr,
}

impl Port {
    /// Reserves a free port.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn reserve() -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        debug_assert!(self.socket.reuseaddr().unwrap_or(true), "others may bind it");
        self.address
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn the_owner_listens_on_a_reserved_port() {
        let port = Port::reserve().expect("reserved");
        assert!(TcpStream::connect(port.address()).await.is_err(), "nobody listens yet");
        let listener = TcpListener::bind(port.address()).await.expect("the owner binds it");
        let (called, accepted) = tokio::join!(TcpStream::connect(port.address()), listener.accept());
        assert!(called.is_ok() && accepted.is_ok());
        drop((called, accepted, listener));
        TcpListener::bind(port.address()).await.expect("and again after a restart");
    }

    #[tokio::test]
    async fn no_port_is_given_twice() {
        let ports: Vec<_> = (0..64).map(|_| Port::reserve().expect("reserved")).collect();
        assert_eq!(ports.iter().map(Port::address).collect::<BTreeSet<_>>().len(), ports.len());
        for _ in 0..64 {
            let other = TcpListener::bind("127.0.0.1:0").await.expect("free");
            let other = other.local_addr().expect("bound");
            assert!(ports.iter().all(|port| port.address() != other));
        }
    }
}
