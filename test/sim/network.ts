// Links between machines: each has a delay, may be cut (one way or both), slow or lossy. What is
// sent on one link comes in order. On a cut link nothing comes through; when it is mended within
// MAX_HELD_MS what was sent meanwhile comes late, as TCP sends it again, else it is lost.
import { Illness } from './illness.ts';
import type { Random } from './random.ts';
import type { Schedule } from './schedule.ts';

/** Connections that are silent for longer are given up by those who use them. */
export const MAX_HELD_MS = 2_500;
const BASE_DELAY_MS = 0.2;
const SPREAD_MS = 0.6;
/** A lost packet is sent again after about so long. */
const RESEND_MS = 220;

interface Held {
  readonly sentMs: number;
  readonly deliver: () => void;
  readonly lost: (() => void) | undefined;
}

class Link {
  cuts = 0;
  extraMs = 0;
  lossShare = 0;
  readonly illness: Illness;
  lastMs = 0;
  held: Held[] = [];

  constructor(schedule: Schedule) {
    this.illness = new Illness(schedule);
  }
}

export class Network {
  readonly #schedule: Schedule;
  readonly #random: Random;
  /** By sender, then receiver. */
  readonly #links = new Map<string, Map<string, Link>>();

  constructor(schedule: Schedule, random: Random) {
    this.#schedule = schedule;
    this.#random = random;
  }

  /** @param lost told, when the link is mended, that it never comes */
  send(from: string, to: string, deliver: () => void, lost?: () => void): void {
    const link = this.#link(from, to);
    if (link.cuts > 0) link.held.push({ sentMs: this.#schedule.nowMs(), deliver, lost });
    else this.#deliver(link, deliver);
  }

  /** A delay that somebody on the way adds. */
  between(leastMs: number, mostMs: number): number {
    return this.#random.between(leastMs, mostMs);
  }

  isCut(from: string, to: string): boolean {
    return this.#link(from, to).cuts > 0;
  }

  /** Neither direction has been cut, slow or lossy for so long. */
  wellForMs(a: string, b: string): number {
    return Math.min(this.#link(a, b).illness.wellForMs(), this.#link(b, a).illness.wellForMs());
  }

  /** Something happened there and is over: it may have effects. */
  disturb(from: string, to: string): void {
    const { illness } = this.#link(from, to);
    illness.begin();
    illness.end();
  }

  /** One direction; the function returned mends it. */
  cut(from: string, to: string): () => void {
    const link = this.#link(from, to);
    link.cuts += 1;
    link.illness.begin();
    return () => {
      link.cuts -= 1;
      link.illness.end();
      if (link.cuts === 0) this.#letGo(link);
    };
  }

  /** One direction; the function returned ends that. */
  worsen(from: string, to: string, extraMs: number, lossShare: number): () => void {
    const link = this.#link(from, to);
    link.extraMs = extraMs;
    link.lossShare = lossShare;
    link.illness.begin();
    return () => {
      link.extraMs = 0;
      link.lossShare = 0;
      link.illness.end();
    };
  }

  #letGo(link: Link): void {
    const nowMs = this.#schedule.nowMs();
    const { held } = link;
    link.held = [];
    for (const { sentMs, deliver, lost } of held) {
      if (nowMs - sentMs < MAX_HELD_MS) this.#deliver(link, deliver);
      else lost?.();
    }
  }

  #deliver(link: Link, deliver: () => void): void {
    const random = this.#random;
    let delayMs = BASE_DELAY_MS + SPREAD_MS * random.next();
    if (link.extraMs > 0) delayMs += random.between(0, link.extraMs);
    while (link.lossShare > 0 && random.chance(link.lossShare)) delayMs += RESEND_MS;
    const atMs = Math.max(link.lastMs, this.#schedule.nowMs() + delayMs);
    link.lastMs = atMs;
    this.#schedule.at(atMs, deliver);
  }

  #link(from: string, to: string): Link {
    let links = this.#links.get(from);
    if (links === undefined) {
      links = new Map();
      this.#links.set(from, links);
    }
    let link = links.get(to);
    if (link === undefined) {
      link = new Link(this.#schedule);
      links.set(to, link);
    }
    return link;
  }
}
