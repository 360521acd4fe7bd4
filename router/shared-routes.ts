// One object for the routes that say the same: most models have one version on one node, and of
// those there are far fewer kinds than models.
import type { ModelRoute } from './model-routes.ts';

/** So many more than twice those in use at the last sweep, and the unused ones are let go. */
const SWEEP_AFTER = 10_000;

export class SharedRoutes {
  readonly #byText = new Map<string, ModelRoute>();
  #sweepAbove = SWEEP_AFTER;

  /** The route that says the same; routes of several nodes or versions are seldom the same. */
  of(route: ModelRoute): ModelRoute {
    const parts = route.kind === 'ready' ? route.nodes : route.versions;
    if (parts.length > 1) return route;
    const text = JSON.stringify(route);
    const same = this.#byText.get(text);
    if (same !== undefined) return same;
    this.#byText.set(text, route);
    return route;
  }

  /** Lets go what no model has any more, if there may be much. */
  sweep(routes: ReadonlyMap<string, ModelRoute>): void {
    if (this.#byText.size <= this.#sweepAbove) return;
    const used = new Set(routes.values());
    for (const [text, route] of this.#byText) if (!used.has(route)) this.#byText.delete(text);
    this.#sweepAbove = 2 * this.#byText.size + SWEEP_AFTER;
  }
}
