// What a ledger's counters mean, in words: docs/ledger.md has the terms. Losses are those that --strict counts.
import { type Counters, total } from "./told";

export interface Term {
  name: string;
  words: string;
  /** Something that was there is missing: what to do about it. */
  loss?: string;
}

export interface Section {
  title: string;
  terms: readonly Term[];
}

/** What a worker's capture counts; it dissects nothing, so calls are not among them. */
export const SECTIONS: readonly Section[] = [
  {
    title: "Packets",
    terms: [
      { name: "kernel_received", words: "counted by the kernel for the capture" },
      { name: "live_packets", words: "received from the kernel" },
      {
        name: "kernel_dropped",
        words: "dropped: the kernel had no room for them",
        loss: "The machine is busy, or more comes than one core can take: narrow the capture filter, name fewer interfaces, or give the worker more processor.",
      },
      {
        name: "interface_dropped",
        words: "lost by the network card or its driver, before the kernel counted them",
        loss: "Look at the interface with ethtool -S; larger receive rings may help.",
      },
    ],
  },
  {
    title: "Store",
    terms: [
      { name: "store_packets", words: "handed to the store" },
      { name: "store_written", words: "on disk, and found by questions" },
      { name: "store_cut", words: "left out: conversations that nobody recognises, beyond their first 64 KiB" },
      {
        name: "store_queue_full",
        words: "dropped: the disk was too slow",
        loss: "Put the store on a faster disk, or narrow the capture filter.",
      },
      {
        name: "store_disk_full",
        words: "dropped: the disk had no room",
        loss: "Free some space, or lower the storage limit.",
      },
      { name: "store_waiting", words: "not written yet" },
      { name: "store_evicted", words: "dropped since for newer ones: the store keeps to its limit" },
      { name: "tables_missed", words: "segments dropped before the tables of their HTTP/2 connections were kept" },
      { name: "names_missed", words: "segments dropped before it was noted which names they tell" },
    ],
  },
];

interface Equation {
  words: string;
  left: string;
  right: readonly string[];
  /** What is on its way may be missing on the right: packets that wait in the kernel until they are read. */
  underWay?: boolean;
}

const EQUATIONS: readonly Equation[] = [
  {
    words: "what the kernel counted was received or dropped",
    left: "kernel_received",
    right: ["live_packets", "kernel_dropped"],
    underWay: true,
  },
  {
    words: "every packet for the store was written, left out, dropped for a reason, or waits",
    left: "store_packets",
    right: ["store_written", "store_cut", "store_queue_full", "store_disk_full", "store_waiting"],
  },
];

/** The terms that say something was lost, with how much. */
export function losses(counters: Counters): { term: Term; count: number }[] {
  return SECTIONS.flatMap((section) => section.terms)
    .filter((term) => term.loss && total(counters, term.name) > 0)
    .map((term) => ({ term, count: total(counters, term.name) }));
}

/** The equations that do not hold, in words; empty when every one does. */
export function imbalances(counters: Counters): string[] {
  return EQUATIONS.flatMap(({ words, left, right, underWay }) => {
    const sum = right.reduce((so_far, name) => so_far + total(counters, name), 0);
    const is = total(counters, left);
    return is === sum || (underWay && is > sum) ? [] : [`${words}: ${left} = ${is}, but ${right.join(" + ")} = ${sum}`];
  });
}
