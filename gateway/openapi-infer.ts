// What the OpenAPI document says of the bodies of inference calls: they are no messages of gRPC.
import type { Schema } from './openapi.ts';

const PARAMETERS: Schema = {
  type: 'object',
  additionalProperties: {},
  description: 'strings, numbers, true or false by name',
};

const TENSOR = {
  name: { type: 'string' },
  datatype: {
    type: 'string',
    enum: [
      ...['BOOL', 'UINT8', 'UINT16', 'UINT32', 'UINT64', 'INT8', 'INT16', 'INT32', 'INT64'],
      ...['FP16', 'FP32', 'FP64', 'BYTES', 'BF16'],
    ],
  },
  shape: { type: 'array', items: { type: 'integer' } },
  parameters: PARAMETERS,
  data: {
    type: 'array',
    items: {},
    description:
      'row major, flat or nested as the shape is; what is not finite as "NaN", "Infinity", ' +
      '"-Infinity"; bytes that are no text as {"b64": "..."}; FP16 and BF16 come in binary only',
  },
};

export const INFER_BODY: Schema = {
  type: 'object',
  required: ['inputs'],
  description:
    'JSON; with header Inference-Header-Content-Length that many bytes are JSON, and the tensors ' +
    'that have parameter binary_data_size follow in raw bytes; 0: the body is the one input, raw',
  properties: {
    id: { type: 'string', description: 'comes back in the answer' },
    parameters: PARAMETERS,
    inputs: {
      type: 'array',
      items: { type: 'object', required: ['name', 'shape', 'datatype'], properties: TENSOR },
    },
    outputs: {
      type: 'array',
      description: 'all when absent',
      items: {
        type: 'object',
        required: ['name'],
        properties: { name: { type: 'string' }, parameters: PARAMETERS },
      },
    },
  },
};

export const INFER_ANSWER: Schema = {
  type: 'object',
  properties: {
    id: { type: 'string' },
    model_name: { type: 'string' },
    model_version: { type: 'string' },
    parameters: PARAMETERS,
    outputs: { type: 'array', items: { type: 'object', properties: TENSOR } },
  },
};
