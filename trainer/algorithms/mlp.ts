// A multi-layer perceptron: dense layers with relu between features and outputs.
import { denseStack, type Network } from './network.ts';

export const DEFAULT_HIDDEN_UNITS: readonly number[] = [64, 32];

/** @param hiddenUnits of each hidden layer; empty: DEFAULT_HIDDEN_UNITS. */
export function mlp(inputs: number, hiddenUnits: readonly number[], outputs: number): Network {
  const hidden = hiddenUnits.length === 0 ? DEFAULT_HIDDEN_UNITS : hiddenUnits;
  return { inputs, outputs, layers: denseStack(inputs, hidden, outputs) };
}
