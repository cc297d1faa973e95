// The view of those who capture: each worker, what is captured, and the account of it.
import { Configured } from "./configured";
import { Ledger } from "./ledger";
import { told, trouble } from "./poll";
import type { Worker } from "./told";
import { finished } from "./why";
import { OneWorker, stateOf } from "./worker";

const UNFOLDED = 3; // workers that are shown in full without being asked

export function Workers() {
  const workers = told.value?.workers ?? [];
  const names = Object.entries(told.value?.unresolved ?? {});
  return (
    <div class="workers">
      {trouble.value && (
        <p class="failing" role="alert">
          {trouble.value.message}. {trouble.value.hint}
        </p>
      )}
      <section aria-labelledby="nodes">
        <h2 id="nodes">Workers</h2>
        {told.value && !workers.length && (
          <p>
            None is known. <code>pysniff hub --worker NODE</code> asks one; <code>pysniff worker --hub URL</code> lets
            one dial in.
          </p>
        )}
        {names.map(([name, because]) => (
          <p key={name} class="uneasy captured">
            {name} cannot be resolved: {because}
          </p>
        ))}
        {inOrder(workers).map((worker) => (
          <OneWorker key={worker.node} worker={worker} open={workers.length <= UNFOLDED} />
        ))}
      </section>
      {!workers.every((worker) => worker.figures && finished(worker.figures)) && <Configured />}
      {workers.length > 0 && <Ledger workers={workers} />}
    </div>
  );
}

const GRADES = ["failing", "uneasy", "sound"];

/** Those with trouble first. */
function inOrder(workers: readonly Worker[]): Worker[] {
  const grade = (worker: Worker) => GRADES.indexOf(stateOf(worker).grade);
  return [...workers].sort((a, b) => grade(a) - grade(b));
}
