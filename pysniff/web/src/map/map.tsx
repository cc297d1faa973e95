export function ServiceMap() {
  return <p>map</p>;
}
