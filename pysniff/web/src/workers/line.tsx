export function StatusLine() {
  return <footer class="status" />;
}
