import test from 'ava';
import {
  endlessModel,
  identityModel,
  mlpModel,
  repeatModel,
} from '../../test/support/tiny-onnx.ts';
import { hasFixedCost } from './fixed-cost.ts';
import { readOnnx } from './reader.ts';

test('plain networks have a cost that their shapes tell', (t) => {
  t.true(hasFixedCost(readOnnx(mlpModel())));
  t.true(hasFixedCost(readOnnx(identityModel('FP32', ['batch', 2]))));
  t.true(hasFixedCost({ operators: [{ domain: 'ai.onnx.ml', type: 'Scaler', count: 1 }] }));
});

test('operators that make sizes of values, or that nobody knows here, have none', (t) => {
  t.false(hasFixedCost(readOnnx(endlessModel(2))), 'ConstantOfShape');
  t.false(hasFixedCost(readOnnx(repeatModel(2))), 'Tile');
  for (const type of ['Loop', 'If', 'Range', 'Expand', 'NonZero', 'Resize', 'toString', '']) {
    t.false(hasFixedCost({ operators: [{ domain: '', type, count: 1 }] }), type);
  }
  t.false(hasFixedCost({ operators: [{ domain: 'com.example', type: 'Relu', count: 1 }] }));
});
