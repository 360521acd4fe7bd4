// The commands to try next, printed ready to paste: each works against the server that prints it.

export interface Addresses {
  readonly http: string;
  readonly grpc: string;
  readonly metrics: string;
}

/** @param digits JSON of one row of 64 pixels. */
export function tryNext(at: Addresses, digits: string): readonly string[] {
  const service = 'inference.GRPCInferenceService';
  const tensor = '"name":"features","datatype":"FP32","shape":[1,64]';
  const infer = `{"inputs":[{${tensor},"data":${digits}}]}`;
  const contents = `{"fp32_contents":${digits}}`;
  const input = `{${tensor},"contents":${contents}}`;
  const request = `{"model_name":"digits","inputs":[${input}]}`;
  return [
    'Try next:',
    `  curl http://${at.http}/v2/models/digits`,
    `  curl http://${at.http}/v2/models/digits/infer -d '${infer}'`,
    `  grpcurl -plaintext ${at.grpc} list`,
    `  grpcurl -plaintext -d '{"name":"digits"}' ${at.grpc} ${service}/ModelMetadata`,
    `  ghz --insecure --call ${service}/ModelInfer -d '${request}' -n 2000 -c 16 ${at.grpc}`,
    '  Python, pip install "tritonclient[grpc]" numpy:',
    '    import numpy as np, tritonclient.grpc as t',
    `    c = t.InferenceServerClient("${at.grpc}")`,
    '    x = t.InferInput("features", [1, 64], "FP32")',
    '    x.set_data_from_numpy(np.zeros((1, 64), np.float32))',
    '    print(c.infer("digits", [x]).as_numpy("label"))',
    `  npx torus predict penguins --server http://${at.http} '{"island":"Biscoe",` +
      '"bill_length_mm":50,"bill_depth_mm":15,"flipper_length_mm":220,' +
      '"body_mass_g":5000,"sex":null}\'',
    `  npx torus status --server http://${at.http}`,
    `  curl http://${at.metrics}/metrics`,
    'Ctrl-C stops it; the data stays, and the next start serves at once.',
  ];
}
