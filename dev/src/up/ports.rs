//! The ports of a workload that may join: reserved before the broker starts, because the registry says where mesh doors
//! listen, and held until the end, so that a workload that is started again has the same addresses.

use std::{io, net::SocketAddr};

use crate::stack::{GuestDoors, Port};

/// The reserved ports of one workload.
#[derive(Debug)]
pub(super) struct Ports {
    app: Port,
    mesh: Port,
    agent: Port,
    edge: Port,
    own: Port,
}

impl Ports {
    pub(super) fn reserve() -> io::Result<Self> {
        Ok(Self {
            app: Port::reserve()?,
            mesh: Port::reserve()?,
            agent: Port::reserve()?,
            edge: Port::reserve()?,
            own: Port::reserve()?,
        })
    }

    pub(super) fn mesh(&self) -> SocketAddr {
        self.mesh.address()
    }

    /// The doors that are asked for; `port` is the app's where it has its own.
    pub(super) fn doors(&self, edge: bool, own: bool, port: Option<u16>) -> GuestDoors {
        let mut app = self.app.address();
        if let Some(port) = port {
            app.set_port(port);
        }
        GuestDoors {
            app,
            mesh: self.mesh.address(),
            agent: self.agent.address(),
            edge: edge.then(|| self.edge.address()),
            own: own.then(|| self.own.address()),
        }
    }
}
