// Recording as WAV in the page: browsers' own recorders write WebM, which the service cannot read.

const LONGEST = 30;

export async function record() {
  const stream = await navigator.mediaDevices.getUserMedia({audio: true});
  const context = new AudioContext();
  const source = context.createMediaStreamSource(stream);
  await context.audioWorklet.addModule("/web/tap.js");
  const tap = new AudioWorkletNode(context, "tap");
  const blocks = [];
  tap.port.onmessage = event => blocks.push(event.data);
  source.connect(tap).connect(context.destination);
  let finish;
  const ended = new Promise(resolve => { finish = resolve; });
  const timer = setTimeout(() => finish(), LONGEST * 1000);
  const result = ended.then(async () => {
    clearTimeout(timer);
    stream.getTracks().forEach(track => track.stop());
    tap.disconnect();
    const rate = context.sampleRate;
    await context.close();
    return wav(blocks, rate);
  });
  return {stop: () => finish(), result};
}

export function wav(blocks, rate) {
  const length = blocks.reduce((sum, b) => sum + b.length, 0);
  const data = new DataView(new ArrayBuffer(44 + 2 * length));
  const word = (at, text) => [...text].forEach((c, i) => data.setUint8(at + i, c.charCodeAt(0)));
  word(0, "RIFF"); data.setUint32(4, 36 + 2 * length, true); word(8, "WAVEfmt ");
  data.setUint32(16, 16, true); data.setUint16(20, 1, true); data.setUint16(22, 1, true);
  data.setUint32(24, rate, true); data.setUint32(28, 2 * rate, true);
  data.setUint16(32, 2, true); data.setUint16(34, 16, true);
  word(36, "data"); data.setUint32(40, 2 * length, true);
  let at = 44;
  for (const block of blocks) {
    for (const value of block) {
      data.setInt16(at, Math.max(-1, Math.min(1, value)) * 32767, true);
      at += 2;
    }
  }
  return new Blob([data], {type: "audio/wav"});
}
