// An image, drawn by <img> from an address of our own: what is in an SVG cannot run there.
import { useEffect, useState } from "preact/hooks";

interface ImageProps {
  bytes: Uint8Array<ArrayBuffer>;
  type: string;
  label: string;
}

export function Image({ bytes, type, label }: ImageProps) {
  const [url, setUrl] = useState("");
  const [said, say] = useState("");
  useEffect(() => {
    const made = URL.createObjectURL(new Blob([bytes], { type }));
    setUrl(made);
    say("");
    return () => URL.revokeObjectURL(made);
  }, [bytes, type]);
  return (
    <figure class="image">
      {url && (
        <img
          src={url}
          alt={label}
          onLoad={({ currentTarget: { naturalWidth, naturalHeight } }) => say(`${naturalWidth} × ${naturalHeight}`)}
          onError={() => say("The browser cannot draw it: it is damaged, cut, or something else than it says.")}
        />
      )}
      <figcaption class="faint">{said}</figcaption>
    </figure>
  );
}
