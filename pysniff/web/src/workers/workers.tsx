export function Workers() {
  return <p>workers</p>;
}
