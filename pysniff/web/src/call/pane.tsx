export function CallPane() {
  return <p>call</p>;
}
