//! A small Vaultwarden, so that tests run the real `bw` without anybody's server.
//!
//! It has one account, one organisation and what a [`State`] says is in it, encrypted as Bitwarden does, and it
//! misbehaves on demand. Only tests use it: one thread a connection, its keys are known to everybody, nobody's
//! token is checked. Its certificate is signed by an authority of its own, made anew for each server.
//!
//! ```no_run
//! use colibri_vault_server::{Server, State};
//!
//! let server = Server::start("127.0.0.1:0", &["127.0.0.1"], State::default())?;
//! std::fs::write("ca.pem", server.ca())?;
//! println!("{}", server.url("127.0.0.1"));
//! # std::io::Result::Ok(())
//! ```

mod answer;
pub mod bw;
mod crypto;
mod http;
mod state;

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

pub use state::{Collection, Damage, Fault, Item, State};

/// A running server. It runs as long as the process does, or until it is stopped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    ca: String,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug)]
struct Inside {
    state: State,
    /// When the vault changed, in milliseconds.
    changed: u128,
    /// Method and path of all requests.
    asked: Vec<String>,
    is_stopped: bool,
}

impl Server {
    /// Listens on an address such as `127.0.0.1:0`; the certificate is for `names`, which are addresses or names of
    /// hosts.
    ///
    /// # Errors
    /// When the address cannot be had, or no certificate can be made for a name.
    pub fn start(address: impl ToSocketAddrs, names: &[&str], state: State) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let (config, ca) = certified(names).map_err(io::Error::other)?;
        let server = Self {
            address: listener.local_addr()?,
            ca,
            inside: Arc::new(Mutex::new(Inside {
                state,
                changed: now_ms(),
                asked: Vec::new(),
                is_stopped: false,
            })),
        };
        let (inside, address) = (Arc::clone(&server.inside), server.address);
        let config = Arc::new(config);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if lock(&inside).is_stopped {
                    // With the listener gone, connections are refused.
                    return;
                }
                let (config, inside) = (Arc::clone(&config), Arc::clone(&inside));
                thread::spawn(move || serve(stream, config, &inside, address));
            }
        });
        Ok(server)
    }

    /// Its base URL, by one of its names.
    pub fn url(&self, name: &str) -> String {
        format!("https://{name}:{}", self.address.port())
    }

    /// The certificate of its authority, in PEM.
    pub fn ca(&self) -> &str {
        &self.ca
    }

    /// Changes what it holds; the client sees at its next sync that something changed.
    pub fn change(&self, change: impl FnOnce(&mut State)) {
        let mut inside = lock(&self.inside);
        change(&mut inside.state);
        inside.changed = now_ms();
    }

    /// Method and path of all requests since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.inside).asked)
    }

    /// Ends it: connections are refused from now on.
    pub fn stop(&self) {
        lock(&self.inside).is_stopped = true;
        // The listener waits for a connection.
        let _ = TcpStream::connect(self.address);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An authority, and a certificate of its own for these names.
fn certified(
    names: &[&str],
) -> Result<(ServerConfig, String), Box<dyn std::error::Error + Send + Sync>> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "Colibri test authority");
    let ca_key = KeyPair::generate()?;
    let ca = params.self_signed(&ca_key)?;
    let issuer = Issuer::new(params, ca_key);
    let own: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new(own)?.signed_by(&key, &issuer)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )?;
    Ok((config, ca.pem()))
}

/// Answers one connection's one request.
fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    inside: &Mutex<Inside>,
    address: SocketAddr,
) {
    // A client that hangs must not keep its thread for ever.
    let _ = stream.set_read_timeout(Some(Duration::from_secs(60)));
    let Ok(connection) = ServerConnection::new(config) else {
        return;
    };
    let mut tls = StreamOwned::new(connection, stream);
    let Ok(Some(request)) = http::Request::read(&mut tls) else {
        return;
    };
    let (reply, pause) = {
        let mut inside = lock(inside);
        inside
            .asked
            .push(format!("{} {}", request.method, request.path));
        let base = format!("https://{address}");
        let reply = answer::to(&request, &inside.state, &base, inside.changed);
        (reply, inside.state.pause_ms)
    };
    thread::sleep(Duration::from_millis(pause));
    if let Some(reply) = reply {
        // Whoever has seen enough hangs up.
        let _ = reply.write(&mut tls);
        tls.conn.send_close_notify();
        let _ = io::Write::flush(&mut tls);
    }
}

fn lock(inside: &Mutex<Inside>) -> MutexGuard<'_, Inside> {
    inside.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now_ms() -> u128 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis())
}
