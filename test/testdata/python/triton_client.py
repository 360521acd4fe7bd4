"""Calls a running Torus as a user of NVIDIA's Python client would. Arguments: gRPC, then HTTP address."""
import queue
import sys
import time

import numpy as np
import tritonclient.grpc as grpc_client
import tritonclient.http as http_client
from tritonclient.utils import InferenceServerException

MODEL = "tiny-mlp"


def wait_for_model(client):
    deadline = time.monotonic() + 30
    while not client.is_model_ready(MODEL):
        assert time.monotonic() < deadline, "the imported model did not become ready"
        time.sleep(0.05)


def check(client, kit):
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(MODEL)
    rows = np.linspace(-1, 1, 3 * 16, dtype=np.float32).reshape(3, 16)
    tensor = kit.InferInput("x", rows.shape, "FP32")
    tensor.set_data_from_numpy(rows)
    answer = client.infer(MODEL, [tensor], request_id="a1").as_numpy("y")
    assert answer.shape == (3, 4) and np.allclose(answer.sum(axis=1), 1, atol=1e-5)
    one = kit.InferInput("x", (1, 16), "FP32")
    one.set_data_from_numpy(rows[1:2])
    assert np.allclose(client.infer(MODEL, [one]).as_numpy("y"), answer[1:2], atol=1e-6)
    try:
        client.infer("nothing", [one])
        raise AssertionError("an unknown model was answered")
    except InferenceServerException as error:
        assert "unknown model: 'nothing' is not found" in str(error), error
    return answer


def check_stream(client):
    told = queue.Queue()
    client.start_stream(callback=lambda result, error: told.put((result, error)))
    rows = np.linspace(-1, 1, 16, dtype=np.float32).reshape(1, 16)
    for at in range(50):
        tensor = grpc_client.InferInput("x", rows.shape, "FP32")
        tensor.set_data_from_numpy(rows * at)
        model = MODEL if at % 10 != 9 else "nothing"
        client.async_stream_infer(model, [tensor], request_id=str(at))
    answers = [told.get(timeout=30) for _ in range(50)]
    client.stop_stream()
    failed = [str(error) for _, error in answers if error is not None]
    assert len(failed) == 5 and all("'nothing' is not found" in one for one in failed), failed
    ids = sorted(int(result.get_response().id) for result, error in answers if error is None)
    assert ids == [at for at in range(50) if at % 10 != 9], ids
    for result, error in answers:
        if error is None:
            assert result.get_response().parameters["triton_final_response"].bool_param
            assert abs(result.as_numpy("y").sum() - 1) < 1e-5


grpc = grpc_client.InferenceServerClient(sys.argv[1])
wait_for_model(grpc)
over_grpc = check(grpc, grpc_client)
check_stream(grpc)
http = http_client.InferenceServerClient(sys.argv[2])
over_http = check(http, http_client)
assert np.array_equal(over_grpc, over_http)

meta = grpc.get_model_metadata(MODEL, as_json=True)
assert meta["inputs"][0]["name"] == "x" and meta["inputs"][0]["shape"] == ["-1", "16"], meta
config = grpc.get_model_config(MODEL, as_json=True)["config"]
assert config["backend"] == "onnxruntime" and config["max_batch_size"] >= 1, config
stats = grpc.get_inference_statistics(MODEL, as_json=True)["model_stats"][0]
assert int(stats["inference_count"]) >= 8, stats
index = grpc.get_model_repository_index(as_json=True)["models"]
assert any(one["name"] == MODEL and one["state"] == "READY" for one in index), index
assert http.get_model_metadata(MODEL)["inputs"][0]["shape"] == [-1, 16]
grpc.unload_model(MODEL)
for _ in range(100):
    if not grpc.is_model_ready(MODEL):
        break
assert not grpc.is_model_ready(MODEL)
grpc.load_model(MODEL)
assert grpc.is_model_ready(MODEL)
check(grpc, grpc_client)
print("all well")
