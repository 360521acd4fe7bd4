// Logistic (softmax) regression, or least squares: one layer from the features to the outputs.
import { denseStack, type Network } from './network.ts';

export function linear(inputs: number, outputs: number): Network {
  return { inputs, outputs, layers: denseStack(inputs, [], outputs) };
}
