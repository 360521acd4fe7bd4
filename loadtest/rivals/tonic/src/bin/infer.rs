//! ModelInfer on tonic, with the model in ONNX Runtime and dynamic batching: whatever waits when
//! the runtime is free is the next batch.
//! infer --model FILE --name NAME [--batcher task|thread] [--cert FILE --key FILE]
//!     [--window-bytes N]
//! infer --model FILE --alone ROWS --seconds S: the runtime alone on batches of so many rows.
use std::time::{Duration, Instant};

use bytes::Bytes;
use ort::session::Session;
use ort::value::TensorRef;
use tokio::sync::{mpsc, oneshot};
use tonic::{Request, Response, Status};
use torus_rivals::{answer_control_lines, count_call, flags, listen, server};

mod inference {
    tonic::include_proto!("inference");
}
use inference::grpc_inference_service_server::{
    GrpcInferenceService, GrpcInferenceServiceServer,
};
use inference::model_infer_response::InferOutputTensor;
use inference::{ModelInferRequest, ModelInferResponse};

type Failure = Box<dyn std::error::Error>;

const MAX_BATCH_ROWS: usize = 64;
/// Requests that wait; above it callers are told RESOURCE_EXHAUSTED.
const MAX_WAITING: usize = 4096;
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;
const FLOAT_BYTES: usize = 4;

struct Job {
    rows: usize,
    input: Bytes,
    reply: oneshot::Sender<Result<Bytes, Status>>,
}

struct Model {
    session: Session,
    input: String,
    output: String,
    input_width: usize,
    output_width: usize,
    slab: Vec<f32>,
}

impl Model {
    fn load(path: &str) -> Result<Model, Failure> {
        let environment = ort::init().build()?;
        let session = Session::builder(&environment)?
            .with_intra_threads(1)
            .map_err(|error| error.to_string())?
            .with_inter_threads(1)
            .map_err(|error| error.to_string())?
            .commit_from_file(path)?;
        let (first, last) = (&session.inputs()[0], &session.outputs()[0]);
        let width = |shape: Option<&ort::value::Shape>| -> Result<usize, Failure> {
            let dims = shape.ok_or("the model takes and gives tensors")?;
            Ok(dims.iter().skip(1).product::<i64>() as usize)
        };
        Ok(Model {
            input: first.name().to_string(),
            output: last.name().to_string(),
            input_width: width(first.dtype().tensor_shape())?,
            output_width: width(last.dtype().tensor_shape())?,
            session,
            slab: Vec::new(),
        })
    }

    /// Runs what is in the slab.
    fn run(&mut self, rows: usize) -> Result<Bytes, String> {
        let shape = [rows, self.input_width];
        let view = TensorRef::from_array_view((shape, self.slab.as_slice()))
            .map_err(|error| error.to_string())?;
        let outputs = self
            .session
            .run(ort::inputs![view])
            .map_err(|error| error.to_string())?;
        let (_, floats) = outputs[0]
            .try_extract_tensor::<f32>()
            .map_err(|error| error.to_string())?;
        let mut bytes = Vec::with_capacity(floats.len() * FLOAT_BYTES);
        for float in floats {
            bytes.extend_from_slice(&float.to_le_bytes());
        }
        Ok(Bytes::from(bytes))
    }

    /// One run for all of them.
    fn answer(&mut self, jobs: &mut Vec<Job>) {
        self.slab.clear();
        for job in jobs.iter() {
            let floats = job.input.chunks_exact(FLOAT_BYTES);
            self.slab
                .extend(floats.map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])));
        }
        let rows = jobs.iter().map(|job| job.rows).sum();
        let result = self.run(rows);
        let mut at = 0;
        for job in jobs.drain(..) {
            let end = at + job.rows * self.output_width * FLOAT_BYTES;
            // A caller that has gone takes no reply.
            let _ = job.reply.send(match &result {
                Ok(bytes) => Ok(bytes.slice(at..end)),
                Err(why) => Err(Status::internal(why.clone())),
            });
            at = end;
        }
    }
}

struct Inference {
    model_name: String,
    input: String,
    output: String,
    input_width: usize,
    output_width: usize,
    jobs: mpsc::Sender<Job>,
}

impl Inference {
    /// Rows of the request's only input, and its bytes.
    fn input_of(&self, request: &mut ModelInferRequest) -> Result<(usize, Bytes), Status> {
        if request.model_name != self.model_name {
            return Err(Status::not_found(format!("no model '{}'", request.model_name)));
        }
        let [tensor] = request.inputs.as_slice() else {
            return Err(Status::invalid_argument("the model has one input"));
        };
        if tensor.name != self.input || tensor.datatype != "FP32" {
            return Err(Status::invalid_argument(format!("input is FP32 '{}'", self.input)));
        }
        let [rows, width] = tensor.shape.as_slice() else {
            return Err(Status::invalid_argument("shape is [rows, width]"));
        };
        let rows = usize::try_from(*rows).unwrap_or(0);
        if rows == 0 || rows > MAX_BATCH_ROWS || *width as usize != self.input_width {
            return Err(Status::invalid_argument("rows or width are out of bounds"));
        }
        let Some(bytes) = request.raw_input_contents.pop() else {
            return Err(Status::invalid_argument("raw_input_contents is empty"));
        };
        if bytes.len() != rows * self.input_width * FLOAT_BYTES {
            return Err(Status::invalid_argument("bytes and shape do not fit"));
        }
        Ok((rows, bytes))
    }
}

#[tonic::async_trait]
impl GrpcInferenceService for Inference {
    async fn model_infer(
        &self,
        request: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        let mut request = request.into_inner();
        let (rows, input) = self.input_of(&mut request)?;
        let (reply, answer) = oneshot::channel();
        self.jobs
            .try_send(Job { rows, input, reply })
            .map_err(|_| Status::resource_exhausted("too many requests wait"))?;
        let output = answer
            .await
            .map_err(|_| Status::internal("the batch was lost"))??;
        count_call();
        Ok(Response::new(ModelInferResponse {
            model_name: request.model_name,
            model_version: "1".to_string(),
            id: request.id,
            outputs: vec![InferOutputTensor {
                name: self.output.clone(),
                datatype: "FP32".to_string(),
                shape: vec![rows as i64, self.output_width as i64],
                ..Default::default()
            }],
            raw_output_contents: vec![output],
            ..Default::default()
        }))
    }
}

/// On the thread that serves: no hop, and what came meanwhile waits in the sockets.
async fn batch_in_task(mut model: Model, mut jobs: mpsc::Receiver<Job>) {
    let mut batch = Vec::with_capacity(MAX_BATCH_ROWS);
    while jobs.recv_many(&mut batch, MAX_BATCH_ROWS).await > 0 {
        model.answer(&mut batch);
        tokio::task::yield_now().await;
    }
}

fn batch_in_thread(mut model: Model, mut jobs: mpsc::Receiver<Job>) {
    std::thread::spawn(move || {
        let mut batch = Vec::with_capacity(MAX_BATCH_ROWS);
        while jobs.blocking_recv_many(&mut batch, MAX_BATCH_ROWS) > 0 {
            model.answer(&mut batch);
        }
    });
}

/// Processor time of this thread (proc(5), schedstat), or a clock where there is none.
fn spent(since: Instant) -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|word| word.parse().ok());
    nanos.map_or_else(|| since.elapsed(), Duration::from_nanos)
}

/// Prints `alone US`: microseconds of processor time of a run.
fn measure_alone(model: &mut Model, rows: usize, seconds: f64) -> Result<(), Failure> {
    model.slab = vec![0.25; rows * model.input_width];
    let lasts = Duration::from_secs_f64(seconds);
    let warm = Instant::now();
    while warm.elapsed() < lasts / 5 {
        model.run(rows)?;
    }
    let (start, before, mut runs) = (Instant::now(), spent(warm), 0u32);
    while start.elapsed() < lasts {
        model.run(rows)?;
        runs += 1;
    }
    let micros = (spent(warm) - before).as_secs_f64() * 1e6;
    println!("alone {:.3}", micros / f64::from(runs));
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let flags = flags();
    let flag = |name: &str| flags.get(name).cloned();
    let mut model = Model::load(&flag("model").ok_or("--model is missing")?)?;
    if let Some(rows) = flag("alone") {
        let seconds = flag("seconds").unwrap_or("1".to_string()).parse()?;
        return measure_alone(&mut model, rows.parse()?, seconds);
    }
    let (sender, jobs) = mpsc::channel(MAX_WAITING);
    let service = GrpcInferenceServiceServer::new(Inference {
        model_name: flag("name").ok_or("--name is missing")?,
        input: model.input.clone(),
        output: model.output.clone(),
        input_width: model.input_width,
        output_width: model.output_width,
        jobs: sender,
    })
    .max_decoding_message_size(MAX_MESSAGE_BYTES)
    .max_encoding_message_size(MAX_MESSAGE_BYTES);
    if flag("batcher").as_deref() == Some("thread") {
        batch_in_thread(model, jobs);
    } else {
        tokio::spawn(batch_in_task(model, jobs));
    }
    let mut server = server(&flags)?;
    answer_control_lines();
    server.add_service(service).serve_with_incoming(listen()?).await?;
    Ok(())
}
