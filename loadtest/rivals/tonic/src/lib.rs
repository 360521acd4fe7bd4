//! What both servers share: flags, the listener, the control lines of the bench, and a codec that
//! takes messages as the bytes they are.
use std::collections::HashMap;
use std::io::BufRead;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Buf, BufMut, Bytes};
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};

/// Answers that ended with OK.
pub static CALLS: AtomicU64 = AtomicU64::new(0);

pub fn count_call() {
    CALLS.fetch_add(1, Ordering::Relaxed);
}

/// `--name value` pairs.
pub fn flags() -> HashMap<String, String> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    args.chunks_exact(2)
        .map(|pair| (pair[0].trim_start_matches("--").to_string(), pair[1].clone()))
        .collect()
}

/// Answers `calls` on standard input with `calls N`, and ends the process with its parent.
pub fn answer_control_lines() {
    std::thread::spawn(|| {
        for line in std::io::stdin().lock().lines() {
            match line.as_deref() {
                Ok("calls") => println!("calls {}", CALLS.load(Ordering::Relaxed)),
                Ok(other) => println!("unknown {other}"),
                Err(_) => break,
            }
        }
        std::process::exit(0);
    });
}

/// A server with what its `--cert`, `--key` (PEM files) and `--window-bytes` say.
pub fn server(flags: &HashMap<String, String>) -> Result<Server, Box<dyn std::error::Error>> {
    let mut server = Server::builder().max_concurrent_streams(None);
    if let Some(window) = flags.get("window-bytes") {
        let bytes: u32 = window.parse()?;
        server = server
            .initial_stream_window_size(bytes)
            .initial_connection_window_size(bytes.saturating_mul(4));
    }
    if let (Some(cert), Some(key)) = (flags.get("cert"), flags.get("key")) {
        let identity = Identity::from_pem(std::fs::read(cert)?, std::fs::read(key)?);
        server = server.tls_config(ServerTlsConfig::new().identity(identity))?;
    }
    Ok(server)
}

/// Listens on a free port of loopback and says which.
pub fn listen() -> Result<TcpIncoming, Box<dyn std::error::Error>> {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?.with_nodelay(Some(true));
    println!("listening {}", incoming.local_addr()?.port());
    Ok(incoming)
}

/// Most messages of the benches are small: no 8 KiB for each.
const BUFFER_BYTES: usize = 512;
const YIELD_BYTES: usize = 32 * 1024;

#[derive(Default)]
pub struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = BytesCodec;
    type Decoder = BytesCodec;

    fn encoder(&mut self) -> Self::Encoder {
        BytesCodec
    }

    fn decoder(&mut self) -> Self::Decoder {
        BytesCodec
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.len());
        buffer.put(item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
    }
}
