// Why nothing is shown, and what to do.
export function WhyEmpty() {
  return <p>Nothing yet.</p>;
}
