//! A unary echo on tonic, all on one thread.
//! echo [--cert FILE --key FILE] [--window-bytes N]
use bytes::Bytes;
use tonic::{Request, Response, Status};
use torus_rivals::{answer_control_lines, count_call, flags, listen, server};

mod generated {
    include!(concat!(env!("OUT_DIR"), "/bench.Echo.rs"));
}
use generated::echo_server::{Echo, EchoServer};

const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

struct EchoService;

#[tonic::async_trait]
impl Echo for EchoService {
    async fn echo(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        count_call();
        Ok(Response::new(request.into_inner()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = EchoServer::new(EchoService)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    let mut server = server(&flags())?;
    answer_control_lines();
    server.add_service(service).serve_with_incoming(listen()?).await?;
    Ok(())
}
