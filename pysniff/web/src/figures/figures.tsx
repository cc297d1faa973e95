export function Figures() {
  return <p>figures</p>;
}
