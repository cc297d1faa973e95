export function Feed() {
  return <p>feed</p>;
}
