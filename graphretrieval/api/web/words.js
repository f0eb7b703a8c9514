// What the page says, in English and Chinese.

const WORDS = {
  skip: ["Skip to the content", "跳到正文"],
  nav: ["Main", "主导航"],
  messages: ["Messages", "消息"],
  search: ["Search", "检索"],
  proposals: ["Proposals", "待审关联"],
  models: ["Models", "模型"],
  console: ["Console", "控制台"],
  theme: ["Dark colours", "深色"],
  tagline: ["Words, pictures and sounds, found through what connects them", "文字、图像与声音,循着它们之间的联系相互找到"],
  placeholder: ["Describe it, or drop a picture or a sound", "用文字描述,或拖入图片、声音"],
  ask: ["What are you looking for?", "您在找什么?"],
  go: ["Search", "检索"],
  attach: ["Add a picture or sound", "添加图片或声音"],
  record: ["Record a sound", "录音"],
  stop: ["Stop recording", "停止录音"],
  recording: ["Recording…", "录音中……"],
  noMicrophone: ["The microphone cannot be used", "无法使用麦克风"],
  drop: ["Drop it anywhere", "松开即可检索"],
  remove: ["Remove", "移除"],
  examples: ["For example", "例如"],
  pictures: ["Pictures", "图像"],
  sounds: ["Sounds", "声音"],
  texts: ["Texts", "文字"],
  image: ["Picture", "图像"], audio: ["Sound", "声音"], text: ["Text", "文字"], category: ["Category", "类别"], source: ["Source", "出处"],
  grouped: ["By kind", "分类显示"],
  mixed: ["Mixed", "混合显示"],
  view: ["View", "视图"],
  languageOfTexts: ["Texts in", "文字语言"],
  mine: ["English", "中文"],
  all: ["all languages", "所有语言"],
  noMatch: ["No confident match; these are the nearest.", "没有把握十足的结果;以下是最接近的。"],
  nothing: ["Nothing found here.", "这里没有结果。"],
  found: ["results", "条结果"],
  more: ["Show more", "显示更多"],
  why: ["Why?", "为何?"],
  whyThis: ["Why this was found", "为何找到它"],
  open: ["Open", "打开"],
  alike: ["Similar", "相似"],
  like: ["More like this", "更多类似"],
  close: ["Close", "关闭"],
  parts: ["What the score is made of", "得分的组成"],
  content: ["content", "内容"], graph: ["graph", "图谱"], path: ["path", "路径"], lexical: ["words", "文字"],
  way: ["The way to it", "到达路径"],
  noWay: ["No path: found by likeness alone.", "没有路径:仅凭相似度找到。"],
  query: ["your query", "您的查询"],
  similar: ["is like", "相似"], lexicalAnchor: ["shares words with", "文字相符"], itself: ["is", "即"],
  sure: ["sure", "把握"],
  score: ["score", "得分"],
  asGraphql: ["As GraphQL", "GraphQL 写法"],
  copy: ["Copy", "复制"],
  copied: ["Copied", "已复制"],
  collection: ["The collection", "馆藏"],
  counts: ["{0} pictures · {1} sounds · {2} texts", "{0} 幅图像 · {1} 段声音 · {2} 篇文字"],
  facts: ["Details", "详情"],
  size: ["Size", "尺寸"], duration: ["Length", "时长"], license: ["Licence", "许可"], language: ["Language", "语言"], kind: ["Kind", "类型"], belongs: ["Collection", "馆藏"], place: ["Place", "位置"], identifier: ["Id", "标识"],
  descriptions: ["Descriptions", "描述"],
  categories: ["Categories", "类别"],
  surroundings: ["What it is linked to", "与它相连的内容"],
  graphHelp: ["Drag to move, scroll or use + and − to zoom; Tab goes from node to node, Enter opens one.", "拖动以移动,滚轮或 + − 键缩放;Tab 键切换节点,Enter 键打开。"],
  near: ["Near", "邻近"], wider: ["Wider", "更广"],
  asList: ["As a list", "以列表显示"],
  leftOut: ["{0} more links are not drawn", "另有 {0} 条关联未画出"],
  find: ["Find what is like it", "查找相似内容"],
  linkTo: ["Link it to another node", "建立关联"],
  relation: ["Relation", "关系"], targetId: ["Id of the other node", "对方节点标识"],
  link: ["Link", "关联"],
  linked: ["Linked; the next search uses it", "已关联,下次检索即生效"],
  unlinked: ["The link is gone again", "关联已撤销"],
  undo: ["Undo", "撤销"],
  accept: ["Accept", "接受"], reject: ["Reject", "拒绝"],
  accepted: ["Accepted; the next search uses it", "已接受,下次检索即生效"],
  rejected: ["Rejected; it will not be proposed again", "已拒绝,不再提议"],
  undone: ["Undone", "已撤销"],
  inbox: ["Links that the model thinks are missing", "模型认为缺失的关联"],
  inboxHelp: ["A person decides. What you accept is used by the next search, and learned from by the next training.", "由人决定。接受的关联在下次检索中即生效,并用于下次训练。"],
  look: ["Look for missing links", "查找缺失的关联"], looking: ["Looking for missing links…", "正在查找缺失的关联……"],
  inboxEmpty: ["Nothing is waiting to be judged.", "没有待审的关联。"],
  anyRelation: ["all relations", "所有关系"],
  modelsHelp: ["Each version was judged on links that it had not seen. Mean average precision, before → after.", "每个版本都在未见过的关联上评判。平均精度均值:之前 → 之后。"],
  version: ["Version", "版本"], made: ["Made", "生成时间"], revision: ["Data revision", "数据修订"], secondsLong: ["seconds of training", "秒训练"],
  hanText: ["Chinese text", "中文文字"], foreignText: ["Text in other languages", "其他语言文字"],
  inService: ["in service", "使用中"],
  retrain: ["Train again", "重新训练"],
  rollback: ["Back to the former version", "恢复前一版本"],
  training: ["Training", "训练中"],
  trained: ["Training has ended", "训练结束"],
  promoted: ["{0} is now in service", "{0} 已投入使用"],
  kept: ["{0} stays in service: {1}", "{0} 继续使用:{1}"],
  rolledBack: ["{0} is in service again", "{0} 已恢复使用"],
  direction: ["Direction", "方向"],
  compared: ["compared with", "相比"],
  noModel: ["Nothing has been learned yet: run `graphretrieval fit`.", "尚未训练:请运行 graphretrieval fit。"],
  needsAdmin: ["Open the admin link that `graphretrieval serve` printed to do this.", "请打开 graphretrieval serve 打印的管理链接后再操作。"],
  admin: ["Admin", "管理员"], write: ["Editor", "编辑"], read: ["Reader", "读者"],
  leave: ["Log out", "退出"],
  welcome: ["You may now accept links and train", "现在可以审核关联并训练模型"],
  failed: ["That did not work", "操作失败"],
  spoken: ["spoken", "口述"],
  unknownNode: ["There is no such node.", "没有这个节点。"],
  DESCRIBES: ["describes", "描述"], IN_CATEGORY: ["in category", "属于类别"], SUBCATEGORY_OF: ["part of", "上级类别"], RELATED_TO: ["related to", "相关"], PART_OF: ["cut from", "出自"], NEXT: ["then", "之后"], SIMILAR_TO: ["like", "相似"],
};

const chosen = () => localStorage.getItem("lang") ?? ((navigator.language ?? "en").startsWith("zh") ? "zh" : "en");
let now = chosen();

export const lang = () => now;

export function setLang(value) {
  now = value;
  localStorage.setItem("lang", value);
}

export function t(word, ...values) {
  const found = WORDS[word];
  if (!found) return word.toLowerCase().replaceAll("_", " ");
  return found[now === "zh" ? 1 : 0].replace(/\{(\d)\}/g, (_, i) => values[i]);
}

export const number = value => new Intl.NumberFormat(now === "zh" ? "zh-CN" : "en").format(value);
export const percent = value => `${Math.round(100 * value)}%`;
export const seconds = value => value == null ? "" : value < 60 ? `${value.toFixed(1)} s` : `${Math.floor(value / 60)}:${String(Math.floor(value % 60)).padStart(2, "0")}`;
