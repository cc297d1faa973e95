export function FeedControls() {
  return <div class="controls" />;
}
