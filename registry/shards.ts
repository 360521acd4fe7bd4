// Which of the assignment's shards a model is in. Leader, routers and nodes must agree on it for
// ever, so the hash is fixed here: FNV-1a, 32 bits, over the name's UTF-8 bytes, its four bytes
// folded.
import { ASSIGNMENT_SHARDS } from './registry.ts';

const OFFSET_BASIS = 0x811c9dc5;
const PRIME = 0x01000193;
const encoder = new TextEncoder();

/** 0 to ASSIGNMENT_SHARDS - 1. */
export function shardOf(model: string): number {
  let hash = OFFSET_BASIS;
  for (let at = 0; at < model.length; at += 1) {
    const code = model.charCodeAt(at);
    if (code > 127) return foldedFrom(encoder.encode(model));
    hash = Math.imul(hash ^ code, PRIME);
  }
  return folded(hash >>> 0);
}

function foldedFrom(bytes: Uint8Array): number {
  let hash = OFFSET_BASIS;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, PRIME);
  return folded(hash >>> 0);
}

function folded(hash: number): number {
  return (hash ^ (hash >>> 8) ^ (hash >>> 16) ^ (hash >>> 24)) & (ASSIGNMENT_SHARDS - 1);
}
