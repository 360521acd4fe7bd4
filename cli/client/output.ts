// What commands print: tables for people, JSON for programs; and how they end when it goes wrong.
import { Code, codeName, StatusError, statusOf } from '../../common/status.ts';

export const EXIT_USAGE = 64;
export const EXIT_UNAVAILABLE = 69;
export const EXIT_OTHER = 1;
/** As shells have it for a program that SIGINT ended: 128 + 2. */
export const EXIT_INTERRUPTED = 130;

/** A job that ended without a result: its code is that of its work, not of this call. */
export class JobEnded extends StatusError {}

/** sysexits.h's numbers for what the caller can mend: the command line, or the server. */
export function exitCodeOf(error: StatusError): number {
  if (error instanceof JobEnded) return EXIT_OTHER;
  if (error.code === Code.UNAVAILABLE) return EXIT_UNAVAILABLE;
  return error.code === Code.INVALID_ARGUMENT ? EXIT_USAGE : EXIT_OTHER;
}

export interface Output {
  readonly isJson: boolean;
  /** A line for people; nothing in JSON mode. */
  say(line: string): void;
  /** The result: `value` as one JSON line in JSON mode, else the lines. */
  result(value: unknown, lines: readonly string[]): void;
  error(thrown: unknown): number;
}

type Write = (text: string) => void;

/** Names and reasons come from anybody: what would move a terminal's cursor is shown as \u001b. */
function printable(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, (character) =>
    character === '\n' || character === '\t'
      ? character
      : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export function createOutput(isJson: boolean, out: Write, err: Write): Output {
  return {
    isJson,
    say: (line) => {
      if (!isJson) out(`${printable(line)}\n`);
    },
    result: (value, lines) => {
      if (isJson) out(`${JSON.stringify(value)}\n`);
      else for (const line of lines) out(`${printable(line)}\n`);
    },
    error: (thrown) => {
      const error = statusOf(thrown);
      if (isJson) err(`${JSON.stringify({ error: error.message, code: codeName(error.code) })}\n`);
      else err(`torus: ${printable(error.message)}\n`);
      return exitCodeOf(error);
    },
  };
}

/** Columns as wide as their widest cell, numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [head, ...rows];
  const widths = head.map((_, at) => Math.max(...all.map((row) => (row[at] ?? '').length)));
  const isNumber = head.map((_, at) =>
    rows.every((row) => /^[-+]?[\d.,]+( ?[a-zA-Z%/]+)?$/.test(row[at] ?? '')),
  );
  return all.map((row) =>
    widths
      .map((width, at) => {
        const cell = row[at] ?? '';
        return isNumber[at] === true ? cell.padStart(width) : cell.padEnd(width);
      })
      .join('  ')
      .trimEnd(),
  );
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** 1536 -> '1.5 KiB' */
export function bytesText(sizeBytes: number): string {
  let value = sizeBytes;
  let unit = 0;
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit] ?? ''}`;
}
