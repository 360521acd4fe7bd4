// ONNX Runtime's builds for Linux tell their maker of every model that is loaded (its file's name,
// hashes of its graph and weights) unless this variable is set when the runtime starts. To be
// imported before it, on the main thread: what a worker thread sets stays with that thread.
process.env.ORT_DISABLE_TELEMETRY = '1';
