package dev.nibble.models.text;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Texts as tokens, with what is asked about them. Immutable.
 *
 * @param texts those in which something is asked
 * @param cut how many texts have more tokens than were kept
 * @param unseen how many words with tags have no token that was kept
 */
public record TokenizedTexts(List<TokenizedText> texts, int cut, int unseen) {
    /** Copies the list. */
    public TokenizedTexts {
        texts = List.copyOf(texts);
    }

    /**
     * {@return texts as tokens, of which the first is asked for the class of the text}
     *
     * @param classes names of the classes
     * @param most tokens of a text that are kept
     */
    public static TokenizedTexts of(List<LabelledText> texts, List<String> classes, TextTokenizer tokenizer, int most) {
        List<TokenizedText> all = new ArrayList<>();
        int cut = 0;
        for (LabelledText text : texts) {
            Pieces pieces = tokenizer.encode(text.text(), most);
            cut += pieces.cut() ? 1 : 0;
            all.add(new TokenizedText(pieces.tokens(), new int[1], new int[] {classes.indexOf(text.label())}));
        }
        return new TokenizedTexts(all, cut, 0);
    }

    /**
     * {@return sentences as tokens, of which the first of each word is asked for the word's tag} A sentence without such a token is left
     * out.
     *
     * @param tags names of the tags
     * @param most tokens of a sentence that are kept
     */
    public static TokenizedTexts ofWords(
            List<List<TaggedWord>> sentences, List<String> tags, TextTokenizer tokenizer, int most) {
        List<TokenizedText> all = new ArrayList<>();
        int cut = 0;
        int unseen = 0;
        for (List<TaggedWord> sentence : sentences) {
            Pieces pieces =
                    tokenizer.encode(sentence.stream().map(TaggedWord::word).toList(), most);
            List<Integer> asked = new ArrayList<>(); // [words with a token]
            List<Integer> classes = new ArrayList<>(); // [words with a token]
            int before = -1;
            for (int i = 0; i < pieces.words().length; i++) {
                int word = pieces.words()[i];
                if (word > before) {
                    asked.add(i);
                    classes.add(tags.indexOf(sentence.get(word).tag()));
                    before = word;
                }
            }
            cut += pieces.cut() ? 1 : 0;
            unseen += sentence.size() - asked.size();
            if (!asked.isEmpty()) {
                all.add(new TokenizedText(pieces.tokens(), ints(asked), ints(classes)));
            }
        }
        return new TokenizedTexts(all, cut, unseen);
    }

    private static int[] ints(List<Integer> values) {
        return values.stream().mapToInt(Integer::intValue).toArray();
    }

    /** {@return how many there are} */
    public int count() {
        return texts.size();
    }

    /** {@return how many tokens are asked, of all texts} */
    public long asked() {
        return texts.stream().mapToLong(text -> text.asked().length).sum();
    }

    /**
     * {@return what was left out, in words; empty if nothing was}
     *
     * @param what these texts are called
     * @param most tokens of a text that are kept
     */
    public Optional<String> loss(String what, int most) {
        if (cut == 0 && unseen == 0) {
            return Optional.empty();
        }
        String words = unseen == 0 ? "" : ", and %d words are neither trained nor counted".formatted(unseen);
        return Optional.of(
                "%d of %d %s have more than %d tokens and lose their end%s; data.sequence says how many are kept"
                        .formatted(cut, count(), what, most, words));
    }

    /** {@return one more than the largest token} */
    public int vocabulary() {
        int largest = 0;
        for (TokenizedText text : texts) {
            for (int token : text.tokens()) {
                largest = Math.max(largest, token);
            }
        }
        return largest + 1;
    }
}
