// While somebody looks, time goes on: rates fall where nothing comes.
import { useEffect } from "preact/hooks";
import { received, shown } from "./received";

const SECOND = 1_000;

export function useTicking(): void {
  useEffect(() => {
    const timer = setInterval(() => {
      if (received().goesOn) shown.value += 1;
    }, SECOND);
    return () => clearInterval(timer);
  }, []);
}
