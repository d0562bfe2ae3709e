package dev.nibble.models.data;

/** Images as rows of patches, one image after the other, and their classes. */
public final class ImageBatch {
    private final float[] patches; // [images · tokens, pixels]
    private final int[] targets; // [images]

    ImageBatch(float[] patches, int[] targets) {
        this.patches = patches;
        this.targets = targets;
    }

    /** {@return the patches, [images · tokens, pixels]; the caller must not change them} */
    public float[] patches() {
        return patches;
    }

    /** {@return the classes, [images]; the caller must not change them} */
    public int[] targets() {
        return targets;
    }
}
