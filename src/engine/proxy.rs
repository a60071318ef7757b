//! The CONNECT proxy: for servers that have Apple's push host compiled in.
//!
//! `HTTPS_PROXY` points here. A CONNECT to one of Apple's push hosts is answered by the gateway
//! itself. Another host is tunnelled to if the scenario allows it, and refused otherwise, so that
//! this is no open proxy.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::apns::connect::{ConnectError, HEAD_MAX, Target, parse_connect};
use crate::fact::NoEntry;

/// How long a connection to an allowed host may take: less than the client has for its CONNECT, so
/// that it can still be told.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// What came of a CONNECT.
#[derive(Debug)]
pub(super) enum Proxied {
    /// It was for the push service, and this is the tunnel.
    Push(TcpStream),
    /// It was for an allowed host: both ends of the tunnel.
    Tunnel(TcpStream, TcpStream),
    /// It was refused, and the client has been told.
    Refused(NoEntry),
}

/// Reads a CONNECT and answers it. Hosts in `allowed` are tunnelled to; nobody is while
/// `refuses_all`.
///
/// # Errors
/// When the client is gone.
pub(super) async fn accept(
    mut tcp: TcpStream,
    allowed: &[String],
    refuses_all: bool,
) -> io::Result<Proxied> {
    let head = read_head(&mut tcp).await?;
    let target = match parse_connect(&head) {
        Ok(target) => target,
        Err(error) => {
            let status = match error {
                ConnectError::TooLong => "431 Request Header Fields Too Large",
                ConnectError::NotConnect => "405 Method Not Allowed",
                ConnectError::NotHttp(_) | ConnectError::NoTarget => "400 Bad Request",
            };
            return refuse(tcp, status, &error.to_string()).await;
        }
    };
    if refuses_all {
        let refused = refuse(tcp, "403 Forbidden", "the scenario has it refused").await?;
        return Ok(if target.is_push_service() {
            Proxied::Refused(NoEntry::Connect)
        } else {
            refused
        });
    }
    if target.is_push_service() {
        establish(&mut tcp).await?;
        return Ok(Proxied::Push(tcp));
    }
    if !target.is_among(allowed) {
        let why = format!("{target} is neither a push host nor in allow-hosts");
        return refuse(tcp, "403 Forbidden", &why).await;
    }
    match connect(&target).await {
        Ok(other) => {
            establish(&mut tcp).await?;
            Ok(Proxied::Tunnel(tcp, other))
        }
        Err(error) => {
            let why = format!("{target} cannot be reached: {error}");
            refuse(tcp, "502 Bad Gateway", &why).await
        }
    }
}

async fn read_head(tcp: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() <= HEAD_MAX {
        // A byte at a time: what follows the head belongs to TLS.
        head.push(tcp.read_u8().await?);
    }
    Ok(head)
}

async fn establish(tcp: &mut TcpStream) -> io::Result<()> {
    // Some clients look for exactly this reason phrase.
    tcp.write_all(b"HTTP/1.1 200 Connection Established\r\n\r\n")
        .await
}

async fn connect(target: &Target) -> io::Result<TcpStream> {
    let connecting = TcpStream::connect((target.host.as_str(), target.port));
    match tokio::time::timeout(CONNECT_MAX, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn refuse(mut tcp: TcpStream, status: &str, why: &str) -> io::Result<Proxied> {
    let body = format!("mdmstorm refuses this CONNECT: {why}\n");
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    tcp.write_all(answer.as_bytes()).await?;
    tcp.shutdown().await?;
    let why = format!("a CONNECT was refused: {why}");
    Ok(Proxied::Refused(NoEntry::Stray(why)))
}
